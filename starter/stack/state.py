"""What is known of a stack: a record that its supervisor keeps in the state directory, and the lock it holds."""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from model.base import Record
from model.settings import LOOPBACK, Settings
from starter.stack.process import ProcessId

LOCK_SECONDS = 0.5
"""How long to try for the lock: someone who only looks holds it for less than a millisecond."""


class StackState(StrEnum):
    """Where the stack is in its life."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    FAILED = "failed"
    """The last start did not succeed; :attr:`StackStatus.error` says why."""


class PartStatus(Record):
    """One process of the stack."""

    name: str
    process: ProcessId | None = None
    """None while it waits to be started again."""
    restarts: int = 0
    log: Path
    trouble: str = ""
    """Why it ended, in a sentence, while it ends as soon as it is started; it is tried again."""


class StackStatus(Record):
    """The stack as people ask for it."""

    state: StackState
    home: Path
    logs_dir: Path
    temporal_address: str
    temporal_ui_url: str | None = None
    """None for a Temporal service of your own."""
    namespace: str
    api_url: str | None = None
    """None where it is left out."""
    supervisor: ProcessId | None = None
    parts: tuple[PartStatus, ...] = ()
    error: str = ""


def initial_status(settings: Settings, state: StackState = StackState.DOWN) -> StackStatus:
    """Return the status of a stack with *settings* that has no process."""
    ui = f"http://{LOOPBACK}:{settings.temporal_ui_port}" if settings.embedded else None
    return StackStatus(
        state=state,
        home=settings.home,
        logs_dir=settings.logs_dir,
        temporal_address=settings.temporal_target,
        temporal_ui_url=ui,
        namespace=settings.temporal_namespace,
        api_url=settings.api_url if settings.api_port else None,
    )


def read_status(settings: Settings) -> StackStatus | None:
    """Return what the last supervisor recorded, or None if there is nothing that can be read."""
    try:
        return StackStatus.model_validate_json(_record_file(settings).read_bytes())
    except (OSError, ValidationError):
        return None


def write_status(settings: Settings, status: StackStatus) -> None:
    """Replace the record as a whole: a reader never sees half of it."""
    path = _record_file(settings)
    draft = path.with_suffix(".new")
    draft.write_text(status.model_dump_json())
    draft.replace(path)


@contextmanager
def stack_lock(settings: Settings) -> Generator[bool]:
    """Hold the stack of this state directory; yields False if another process holds it. Ends with its holder."""
    path = _lock_file(settings)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while not (held := _try_lock(file.fileno())) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield held


def is_held(settings: Settings) -> bool:
    """Tell whether a supervisor holds this state directory."""
    try:
        with _lock_file(settings).open("a") as file:
            return not _try_lock(file.fileno())
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record_file(settings: Settings) -> Path:
    return settings.home / "run" / "stack.json"


def _lock_file(settings: Settings) -> Path:
    return settings.home / "run" / "stack.lock"
