"""A stack that runs for one module of tests, its settings, and the engine that its containers are on."""

from collections.abc import Generator
from unittest.mock import patch

import docker
import pytest
from cli_program import Mpg, running_stack

from model.settings import Settings, load_settings
from starter.prerequisites.engine import connect


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack() as made:
        yield made


@pytest.fixture(scope="module")
def stack(program: Mpg) -> Settings:
    """The settings of the stack that runs for this module."""
    with patch.dict("os.environ", program.environment):
        return load_settings()


@pytest.fixture(scope="module")
def engine(stack: Settings) -> Generator[docker.DockerClient]:
    client = connect(stack)
    yield client
    client.close()
