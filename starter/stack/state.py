"""What is known of a stack: a record that its supervisor keeps in the state directory, and the lock it holds."""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from model.base import Record
from model.errors import Refused
from model.private_files import put
from model.settings import Settings
from starter.stack.process import ProcessId

LOCK_SECONDS = 0.5
"""How long to try for the lock: someone who only looks holds it for less than a millisecond."""


PRODUCTION_FILE = "production"
"""In a state directory whose clusters are the production stack's: a second stack would fail over against that one."""
_MOVED = b"moved\n"
"""What that file holds where the production stack has a state directory of its own by now."""


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
    """None for a Temporal service of your own whose page is not in the settings."""
    namespace: str
    api_url: str | None = None
    """None where it is left out."""
    prometheus_url: str | None = None
    """None where it is left out, or there is no program for it."""
    warnings: tuple[str, ...] = ()
    """What the stack does without, a sentence each."""
    supervisor: ProcessId | None = None
    parts: tuple[PartStatus, ...] = ()
    error: str = ""


def initial_status(settings: Settings, state: StackState = StackState.DOWN) -> StackStatus:
    """Return the status of a stack with *settings* that has no process."""
    return StackStatus(
        state=state,
        home=settings.home,
        logs_dir=settings.logs_dir,
        temporal_address=settings.temporal_target,
        temporal_ui_url=settings.temporal_page,
        namespace=settings.temporal_namespace,
        api_url=settings.api_url if settings.api_port else None,
        prometheus_url=settings.prometheus_target,
    )


def is_production(home: Path) -> bool:
    """Tell whether the clusters of the state directory *home* are the production stack's."""
    return (home / PRODUCTION_FILE).exists()


def mark_moved(home: Path) -> None:
    """Note in the state directory *home* that its clusters are the production stack's, which has one of its own."""
    put(home / PRODUCTION_FILE, _MOVED)


def mark_own(home: Path) -> None:
    """Note in the state directory *home* that its clusters are its own."""
    (home / PRODUCTION_FILE).unlink(missing_ok=True)


def require_own_api(home: Path) -> None:
    """Check that the API which goes by what the state directory *home* holds is not elsewhere by now.

    Raises:
        Refused: its clusters were moved to the production stack, whose API has its own keys and tokens.
    """
    file = home / PRODUCTION_FILE
    if file.is_file() and file.read_bytes() == _MOVED:
        raise Refused(
            "The API is the production stack's by now, with tokens and codes of its own.",
            remedy="Say it there: docker compose exec api mpg …",
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
