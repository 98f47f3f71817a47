"""Fixtures: a development server with a worker, stub activities, and a bench to run operations on."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

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
