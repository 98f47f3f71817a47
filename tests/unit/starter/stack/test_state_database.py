"""Which database of the embedded Temporal is set aside, and which is never touched."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from model.errors import Refused
from starter.stack.parts import set_aside_unfinished_db

SERVED = "CREATE TABLE namespaces (id INTEGER); INSERT INTO namespaces VALUES (1);"
UNFINISHED = "CREATE TABLE executions (id INTEGER);"

_LEAVE_IN_LOG = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;" + sys.argv[2])
os._exit(0)
"""
_WITHOUT_DESCRIPTORS = """
import os, pathlib, resource, sys
from model.errors import Refused
from starter.stack.parts import set_aside_unfinished_db
free = os.open("/dev/null", os.O_RDONLY)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
try:
    set_aside_unfinished_db(pathlib.Path(sys.argv[1]))
except Refused as error:
    print(error)
"""


def make(path: Path, script: str, *, only_in_log: bool = False) -> Path:
    """Make a database; *only_in_log* as a server leaves it that was killed."""
    if only_in_log:
        subprocess.run([sys.executable, "-c", _LEAVE_IN_LOG, path, script], check=True)
    else:
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()
    return path


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the index of the log, which SQLite makes anew from it."""
    return {each.name: each.read_bytes() for each in directory.iterdir() if not each.name.endswith("-shm")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_database_that_served_is_kept(tmp_path: Path) -> None:
    path = make(tmp_path / "temporal.db", SERVED)
    before = contents(tmp_path)
    assert set_aside_unfinished_db(path) is None
    assert contents(tmp_path) == before


def test_database_that_served_only_by_its_log_is_kept_and_the_log_stays(tmp_path: Path) -> None:
    path = make(tmp_path / "temporal.db", SERVED, only_in_log=True)
    before = contents(tmp_path)
    assert b"namespaces" not in before["temporal.db"]
    assert set_aside_unfinished_db(path) is None
    assert contents(tmp_path) == before


@pytest.mark.parametrize("script", [UNFINISHED, "CREATE TABLE namespaces (id INTEGER);", ""])
def test_database_that_never_served_is_set_aside(tmp_path: Path, script: str) -> None:
    path = make(tmp_path / "temporal.db", script)
    before = path.read_bytes()
    aside = set_aside_unfinished_db(path)
    assert aside is not None
    assert aside.read_bytes() == before
    assert not list(tmp_path.glob("temporal.db")) + list(tmp_path.glob("temporal.db-*"))


def test_log_is_set_aside_with_its_database(tmp_path: Path) -> None:
    path = make(tmp_path / "temporal.db", UNFINISHED, only_in_log=True)
    aside = set_aside_unfinished_db(path)
    assert aside is not None
    assert not list(tmp_path.glob("temporal.db-*"))
    with sqlite3.connect(aside) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("executions",)]
    connection.close()


def test_database_set_aside_before_is_not_replaced(tmp_path: Path) -> None:
    first = set_aside_unfinished_db(make(tmp_path / "temporal.db", UNFINISHED))
    second = set_aside_unfinished_db(make(tmp_path / "temporal.db", ""))
    assert first is not None
    assert second is not None
    assert first != second
    assert first.exists()


def test_database_that_somebody_has_locked_is_not_touched(tmp_path: Path) -> None:
    path = make(tmp_path / "temporal.db", SERVED)
    before = contents(tmp_path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Refused, match="database is locked"):
        set_aside_unfinished_db(path)
    holder.execute("ROLLBACK")
    holder.close()
    assert contents(tmp_path) == before


def test_without_file_descriptors_nothing_is_touched(tmp_path: Path) -> None:
    path = make(tmp_path / "temporal.db", SERVED, only_in_log=True)
    before = contents(tmp_path)
    ended = subprocess.run([sys.executable, "-c", _WITHOUT_DESCRIPTORS, path], capture_output=True, text=True)
    assert "can't be read now: unable to open database file" in ended.stdout
    assert contents(tmp_path) == before


def test_on_a_full_disk_nothing_is_touched(small_disk: Path) -> None:
    path = make(small_disk / "temporal.db", SERVED, only_in_log=True)
    path.with_name("temporal.db-shm").unlink()
    fill(small_disk / "filler")
    before = contents(small_disk)
    with pytest.raises(Refused, match=r"can't be read now: (disk I/O error|unable to open database file)"):
        set_aside_unfinished_db(path)
    assert contents(small_disk) == before


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_garbage_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "temporal.db"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(Refused, match="can't be read as a database"):
        set_aside_unfinished_db(path)
    assert path.read_bytes() == b"not a database " * 1000


def test_log_of_an_empty_file_is_not_touched(tmp_path: Path) -> None:
    """SQLite would remove it unread."""
    path = make(tmp_path / "temporal.db", SERVED, only_in_log=True)
    path.write_bytes(b"")
    before = contents(tmp_path)
    with pytest.raises(Refused, match=r"is empty, and its log temporal\.db-wal is not"):
        set_aside_unfinished_db(path)
    assert contents(tmp_path) == before
