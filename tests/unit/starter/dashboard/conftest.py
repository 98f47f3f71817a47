"""The description of the API, for pages that show its requests."""

from pathlib import Path
from typing import Any, cast

import pytest
from temporalio.client import Client

from model.settings import load_settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.tokens.keyring import Keyring


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home: Path = tmp_path_factory.mktemp("api")
    return make_app(MpgClient(cast(Client, None), load_settings()), Keyring(home)).openapi()
