"""What the API says of itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from model.settings import load_settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.tokens.keyring import Keyring


def test_every_route_is_described_with_what_it_answers(tmp_path: Path) -> None:
    mpg = cast(MpgClient, cast(Any, SimpleNamespace(settings=load_settings(home=tmp_path))))
    description = make_app(mpg, Keyring(tmp_path)).openapi()
    answers = {
        (method, path): {status for status in route["responses"] if status.startswith("2")}
        for path, methods in description["paths"].items()
        for method, route in methods.items()
    }
    assert not [route for route, successes in answers.items() if not successes]
    streams = [path for _, path in answers if path.endswith("/events")]
    for path in streams:
        assert "text/event-stream" in description["paths"][path]["get"]["responses"]["200"]["content"]
    assert len(streams) == 2
