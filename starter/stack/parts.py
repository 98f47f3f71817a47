"""The processes that the embedded stack is made of, and how each is started."""

import contextlib
import os
import socket
import sqlite3
import sys
import time
from pathlib import Path

from model.base import Record
from model.errors import Refused, StackDown
from model.settings import LOOPBACK, Settings
from starter.prerequisites.temporal_binary import find_temporal
from starter.prerequisites.temporal_flags import always_set, flags

TEMPORAL = "temporal"
"""Name of the part that is Temporal; every other part works for it."""


class Part(Record):
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    log: Path
    stop_seconds: float
    """How long it may take to end after SIGTERM."""


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
    return [
        Part(
            name=name,
            command=(sys.executable, "-m", settings.worker_module),
            env=settings.child_environment(os.environ),
            log=settings.logs_dir / f"{name}.log",
            stop_seconds=20,
        )
        for name in names
    ]


def temporal_db(settings: Settings) -> Path:
    """Return the SQLite file of the embedded Temporal."""
    return settings.home / "temporal.db"


def refuse_taken_ports(settings: Settings) -> None:
    """Check that the embedded Temporal can have its ports.

    Raises:
        Refused: a port is in use; the remedy names the setting.
    """
    for setting in ("temporal_port", "temporal_ui_port"):
        port = int(getattr(settings, setting))
        with socket.socket() as probe:
            # As the server binds: connections that are only closing don't count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                remedy = f"Set MPG_{setting.upper()} to a free port, or stop what listens there."
                raise Refused(f"Port {port} of {LOOPBACK} is in use by another program.", remedy=remedy) from None


def set_aside_unfinished_db(path: Path) -> Path | None:
    """Move a database away that was never served from, and return where to.

    A server killed in its first tenth of a second leaves tables half made, and refuses to start from then on. One that
    got further has registered a namespace: then the file is kept, whatever else is in it.

    Raises:
        Refused: the file is not a database.
    """
    if not path.exists() or _has_namespace(path):
        return None
    aside = path.with_name(f"{path.name}.unfinished-{int(time.time())}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def _has_namespace(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
            return connection.execute("SELECT count(*) FROM namespaces").fetchone()[0] > 0
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError as error:
        remedy = "Restore it from a backup, or move it away to start with an empty one."
        raise Refused(f"{path} can't be read as a database: {error}.", remedy=remedy) from error


def fold_log_into_db(path: Path) -> None:
    """Move SQLite's write-ahead log into the file, so that a copy of the file alone is complete."""
    with contextlib.suppress(sqlite3.Error):  # the log is read at the next start all the same
        if path.exists():
            with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
