"""What the tests of workflows' objects share: no server, no activities, and time that passes when a test says so."""

from collections.abc import Iterator

import pytest

from tests.unit.workflows.runtime import Runtime


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """What stands for Temporal."""
    runtime = Runtime()
    with monkeypatch.context() as patched:
        runtime.stand_in(patched)
        yield runtime


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test with that an event loop of its own.

    So time stands still for nobody else, such as a worker of other tests, and tasks that a test leaves end with it.
    """
    for item in items:
        if isinstance(item, pytest.Function) and "runtime" in item.fixturenames and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="function"), append=False)
