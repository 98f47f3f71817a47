"""What all tests share: how their process ends."""

import pytest

from starter.leave import leave

_ended = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the verdict for the end of the process."""
    session.config.stash[_ended] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process with the verdict, and not by way of the interpreter's shutdown, which can crash (see `leave`)."""
    if _ended in config.stash:
        leave(config.stash[_ended])
