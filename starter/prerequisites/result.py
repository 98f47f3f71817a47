"""What a check of this machine found."""

from collections.abc import Callable
from enum import StrEnum

from model.base import Record

OnProgress = Callable[[str], None]
"""Takes one line at a time while a step is under way."""


class CheckState(StrEnum):
    """How a check ended."""

    OK = "ok"
    """It was there."""
    FIXED = "fixed"
    """It was missing and is there now."""
    FAILED = "failed"
    """It is missing; the remedy says what to do."""
    WITHOUT = "without"
    """It is missing, and the stack does without; the remedy says what to do."""


class CheckName(StrEnum):
    """The prerequisites, as people read them."""

    DOCKER = "Docker engine"
    TEMPORAL = "Temporal"
    MASTER_KEY = "master key"
    STORAGE_LIMIT = "storage limit"
    NODE_IMAGE = "node image"
    POSTGIS_IMAGE = "PostGIS image"
    PROMETHEUS = "Prometheus"


class CheckResult(Record):
    """One prerequisite."""

    name: CheckName
    state: CheckState
    detail: str
    """What is there, or what is wrong: one sentence or less."""
    seconds: float
    """How long the check took, with what it repaired."""
    remedy: str = ""
    """What to do about what is missing; empty otherwise."""

    @property
    def passed(self) -> bool:
        """Tell whether the prerequisite is met."""
        return self.state is not CheckState.FAILED


class Missing(Exception):
    """A prerequisite is not met; :attr:`remedy` says what to do."""

    def __init__(self, detail: str, remedy: str) -> None:
        """Hold what is wrong and what to do, a sentence each."""
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
