"""One fault: what breaks, at which boundary of which step of which operation; and the file that tells the worker."""

import contextlib
import time
from enum import StrEnum
from pathlib import Path

from model.base import Record


class Kind(StrEnum):
    """What breaks."""

    WORKER = "worker killed"
    RAISE = "step fails for good"
    CANCEL = "operation cancelled"
    TERMINATE = "operation terminated"
    TEMPORAL = "Temporal killed"
    CONTAINER = "its container killed"
    ENGINE = "Docker engine restarted"


class Moment(StrEnum):
    """When: before the step's effect, in the middle of it, or after it and before anybody hears that it is done."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class StepRef(Record):
    """A step of an operation: the *occurrence*-th activity of type ``effect``, counted from 1."""

    effect: str
    occurrence: int
    seconds: float = 0.0
    """How long it took when nothing broke."""

    def __str__(self) -> str:
        """Name it for people."""
        return self.effect if self.occurrence == 1 else f"{self.effect} #{self.occurrence}"


class Fault(Record):
    """What the worker is to do, once."""

    operation_id: str
    kind: Kind
    moment: Moment
    step: StepRef
    delay_s: float = 0.0
    """For ``during``: how long after the effect's beginning."""
    seed: int = 0
    """Chooses where the fault itself leaves a choice, such as which of two containers is killed."""


class Fired(Record):
    """The fault happened. ``at`` is Unix time in seconds."""

    at: float
    what: str


class FaultFile:
    """How the test tells the worker of a stack what to do, and the worker the test that it did it."""

    def __init__(self, home: Path) -> None:
        """Use the state directory *home* of the stack."""
        self._planned = home / "fault.json"
        self._fired = home / "fault-fired.json"

    def plan(self, fault: Fault) -> None:
        """Have *fault* happen."""
        self.clear()
        draft = self._planned.with_suffix(".draft")
        draft.write_text(fault.model_dump_json())
        draft.rename(self._planned)

    def clear(self) -> None:
        """Have nothing happen any more."""
        self._planned.unlink(missing_ok=True)
        self._fired.unlink(missing_ok=True)

    def planned(self) -> Fault | None:
        """Return what is to happen, if anything is."""
        try:
            return Fault.model_validate_json(self._planned.read_bytes())
        except FileNotFoundError:
            return None

    def fire(self, what: str) -> bool:
        """Say that it happens now, before it does; False when it had happened before."""
        with contextlib.suppress(FileNotFoundError):
            self._planned.unlink()
            self._fired.write_text(Fired(at=time.time(), what=what).model_dump_json())
            return True
        return False

    def fired(self) -> Fired | None:
        """Return what happened, if it did."""
        try:
            return Fired.model_validate_json(self._fired.read_bytes())
        except FileNotFoundError:
            return None
