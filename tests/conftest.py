"""What all tests share: what is said of a failure at once, and how their process ends."""

import pytest

from starter.leave import leave

_ended = pytest.StashKey[int]()
_SHOWN = 600
"""Characters of an error."""


class FailuresAtOnce:
    """Says which test failed when it does, and why in short: a run that is cut off later has said it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            terminal = self._config.get_terminal_writer()
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message)[:_SHOWN] if crash else report.longreprtext[-_SHOWN:]
            terminal.line(f"\n{report.when} of {report.nodeid} failed: {said}")
            terminal.flush()


def pytest_configure(config: pytest.Config) -> None:
    """Register it once, where results are collected."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(config))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the verdict for the end of the process."""
    session.config.stash[_ended] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process with the verdict, and not by way of the interpreter's shutdown, which can crash (see `leave`)."""
    if _ended in config.stash:
        leave(config.stash[_ended])
