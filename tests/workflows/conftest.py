"""Fixtures: a development server with a worker, stub activities, and a bench to run operations on."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from model.master_key import load_or_create_master_key
from model.settings import load_settings
from starter.client import MpgClient
from tests.unit.starter.api.stub_service import service
from tests.workflows.bench import Bench
from tests.workflows.server import serving, started_temporal
from tests.workflows.stubs import Stubs


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/workflows/golden anew; read the diff")


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of a development server that lives as long as the tests."""
    async with started_temporal() as client:
        yield client


@pytest.fixture(scope="session")
async def served_stubs(temporal: Client) -> AsyncIterator[Stubs]:
    """The stubs behind a running worker."""
    async with serving(temporal) as stubs:
        yield stubs


@pytest.fixture
def stubs(served_stubs: Stubs) -> Stubs:
    """The stubs, with nothing recorded and nothing planned."""
    served_stubs.reset()
    return served_stubs


@pytest.fixture
async def bench(temporal: Client, stubs: Stubs) -> AsyncIterator[Bench]:
    """Where clusters are started and operations run on them; what still runs afterwards is terminated."""
    bench = Bench(temporal, stubs)
    yield bench
    stubs.reset()
    await bench.clear()


@pytest.fixture
def mpg(bench: Bench, tmp_path: Path) -> MpgClient:
    """The client of the bench's Temporal, for webhooks that go nowhere but to this machine."""
    settings = load_settings(home=tmp_path, webhook_private_networks="127.0.0.0/8", webhook_plain_http=True)
    load_or_create_master_key(settings.master_key_file)
    return MpgClient(bench.client, settings)


@pytest.fixture
async def http(mpg: MpgClient, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API over that client."""
    async with service(mpg, tmp_path) as client:
        yield client
