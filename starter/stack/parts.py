"""The processes that the embedded stack is made of, and how each is started."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from model.base import Record
from model.errors import Refused, StackDown
from model.settings import LOOPBACK, Settings
from starter.prerequisites.prometheus_binary import find_prometheus
from starter.prerequisites.temporal_binary import find_temporal
from starter.prerequisites.temporal_flags import always_set, flags

TEMPORAL = "temporal"
"""Name of the part that is Temporal; every other part works for it."""
API = "api"
"""Name of the part that is the HTTP API."""
PROMETHEUS = "prometheus"
"""Name of the part that keeps metrics."""

_POLL_SECONDS = 0.05
_RESTORE = "Move it away with its -wal and -shm; then restore it from a backup, or start with an empty one."


class Part(Record):
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    log: Path
    stop_seconds: float
    """How long it may take to end after SIGTERM."""
    vital: bool = True
    """Whether the stack is not up without it."""


def temporal_part(settings: Settings) -> Part:
    """Return the embedded Temporal server.

    Raises:
        StackDown: this machine has no ``temporal``.
    """
    binary = find_temporal(settings)
    if binary is None:
        raise StackDown("There is no 'temporal' program.", remedy="Run: mpg doctor --fix")
    options = {
        "--db-filename": [str(temporal_db(settings))],
        "--ip": [LOOPBACK],
        "--port": [str(settings.temporal_port)],
        "--ui-port": [str(settings.temporal_ui_port)],
        "--namespace": [settings.temporal_namespace],
    }
    command = (str(binary), "server", "start-dev", *flags(options), *always_set())
    return Part(
        name=TEMPORAL, command=command, env=dict(os.environ), log=settings.logs_dir / "temporal.log", stop_seconds=10
    )


def worker_parts(settings: Settings) -> list[Part]:
    """Return the worker processes."""
    names = ["worker", *(f"worker-{number}" for number in range(2, settings.worker_processes + 1))]
    return [_module_part(settings, name, settings.worker_module, stop_seconds=20) for name in names]


def api_part(settings: Settings) -> Part:
    """Return the HTTP API."""
    return _module_part(settings, API, "starter.api", stop_seconds=8, vital=False)


def prometheus_part(settings: Settings) -> Part | None:
    """Return the Prometheus that keeps metrics; None where it is left out, or there is no program for it."""
    if not settings.runs_prometheus or find_prometheus(settings) is None:
        return None
    return _module_part(settings, PROMETHEUS, "starter.stack.prometheus", stop_seconds=10, vital=False)


def _module_part(settings: Settings, name: str, module: str, *, stop_seconds: float, vital: bool = True) -> Part:
    """Return a Python *module* that runs with the same settings."""
    return Part(
        name=name,
        command=(sys.executable, "-m", module),
        env=settings.child_environment(os.environ),
        log=settings.logs_dir / f"{name}.log",
        stop_seconds=stop_seconds,
        vital=vital,
    )


def temporal_db(settings: Settings) -> Path:
    """Return the SQLite file of the embedded Temporal."""
    return settings.home / "temporal.db"


def refuse_taken_ports(settings: Settings) -> None:
    """Check that the embedded Temporal can have its ports.

    Raises:
        Refused: a port is in use; the remedy names the setting.
    """
    for setting in ("temporal_port", "temporal_ui_port") if settings.embedded else ():
        remedy = f"Set MPG_{setting.upper()} to a free port, or stop what listens there."
        refuse_taken(int(getattr(settings, setting)), remedy)


def refuse_taken(port: int, remedy: str) -> None:
    """Raise Refused where a program listens on *port* of loopback."""
    if is_taken(port):
        raise Refused(f"Port {port} of {LOOPBACK} is in use by another program.", remedy=remedy)


def is_taken(port: int) -> bool:
    """Tell whether a program listens on *port* of loopback."""
    with socket.socket() as probe:
        # As the server binds: connections that are only closing don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


async def await_start(port: int, *, trouble: Callable[[], str], taken: bool) -> None:
    """Return once a part answers on *port* of loopback or is in *trouble*: bound it with a timeout.

    With *taken* another program answered there before, so that an answer says nothing.
    """
    while not trouble():
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            taken = False
        else:
            writer.close()
            if not taken:
                return
        await asyncio.sleep(_POLL_SECONDS)


def set_aside_unfinished_db(path: Path) -> Path | None:
    """Move a database away that was never served from, with its log, and return where to.

    A server killed in its first tenth of a second leaves tables half made, and refuses to start from then on. One that
    got further has registered a namespace: then the file is kept, whatever else is in it. Nothing is removed.

    Raises:
        Refused: it cannot be read, so that nobody can tell. Nothing was changed.
    """
    if not path.exists() or _has_namespace(path):
        return None
    at = int(time.time())
    while (aside := path.with_name(f"{path.name}.unfinished-{at}")).exists():
        at += 1
    # The log before the file: one that stays behind would be taken for the next database's.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _has_namespace(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    if path.stat().st_size == 0 and log.exists() and log.stat().st_size > 0:
        # SQLite removes the log of an empty file, unread.
        raise Refused(f"{path} is empty, and its log {log.name} is not.", remedy=_RESTORE)
    try:
        # Read-only: what is only in the log is seen, and the log stays as it is.
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'namespaces'"
            if connection.execute(tables).fetchone()[0] == 0:
                return False
            return connection.execute("SELECT count(*) FROM namespaces").fetchone()[0] > 0
    except sqlite3.OperationalError as error:
        remedy = (
            "See that no other program has it open, and to its permissions and the room on its disk; then try again."
        )
        raise Refused(f"{path} can't be read now: {error}.", remedy=remedy) from error
    except sqlite3.DatabaseError as error:
        raise Refused(f"{path} can't be read as a database: {error}.", remedy=_RESTORE) from error


def fold_log_into_db(path: Path) -> None:
    """Move SQLite's write-ahead log into the file, so that a copy of the file alone is complete."""
    with contextlib.suppress(sqlite3.Error):  # the log is read at the next start all the same
        if path.exists():
            with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
