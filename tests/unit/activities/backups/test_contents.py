"""What pgBackRest says of a repository, read."""

import json
from datetime import UTC, datetime

import pytest

from activities.backups.contents import parse_contents, parse_reading
from model.backups import BackupType
from model.errors import NotYet
from model.timelines import Fork

FULL, INCR = "20261128-165251F", "20261128-165251F_20261128-165301I"


def _said(label: str, kind: str, stop: int, prior: str | None = None, **more: object) -> dict[str, object]:
    return {
        "archive": {"start": "000000010000000000000003", "stop": "000000010000000000000004"},
        "error": False,
        "info": {"delta": 10, "size": 31048970, "repository": {"delta": 3762240}},
        "label": label,
        "lsn": {"start": "0/C00028", "stop": "0/1000100"},
        "prior": prior,
        "timestamp": {"start": stop - 4, "stop": stop},
        "type": kind,
        **more,
    }


def _stanza(*backups: dict[str, object], code: int = 0, message: str = "ok") -> str:
    archive = [{"id": "17-1", "min": "000000010000000000000001", "max": "00000002000000000000000A"}]
    status = {"code": code, "message": message}
    return json.dumps([{"name": "s", "archive": archive, "backup": list(backups), "status": status}])


def test_backups_are_in_their_order_with_their_request() -> None:
    incr = _said(INCR, "incr", 1795884785, FULL, annotation={"request": "5f3c", "node": "b"})
    contents = parse_contents(_stanza(incr, _said(FULL, "full", 1795884775)))
    first, second = contents.backups
    assert (first.id, first.type, first.prior, first.request_id) == (FULL, BackupType.FULL, None, None)
    assert (second.id, second.type, second.prior, second.request_id) == (INCR, BackupType.INCR, FULL, "5f3c")
    assert (first.node, second.node) == (None, "b"), "one from before it was written down has none"
    assert first.finished_at == datetime.fromtimestamp(1795884775, UTC)
    assert (first.size_bytes, first.stored_bytes) == (31048970, 3762240)
    assert (first.first_lsn, first.last_wal) == ("0/C00028", "000000010000000000000004")
    assert (contents.archive_first, contents.archive_last) == ("000000010000000000000001", "00000002000000000000000A")


def test_pages_that_do_not_fit_are_an_error() -> None:
    (backup,) = parse_contents(_stanza(_said(FULL, "full", 1795884775, error=True))).backups
    assert backup.error is not None
    assert "checksum" in backup.error


def test_no_stanza_is_an_empty_repository() -> None:
    assert parse_contents("[]").backups == ()
    missing = json.dumps([{"name": "s", "backup": [], "status": {"code": 1, "message": "missing stanza path"}}])
    assert parse_contents(missing).backups == ()


def test_repository_that_cannot_be_read_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(NotYet, match="unable to connect"):
        parse_contents(_stanza(code=99, message="[HostConnectError] unable to connect to 'store.example:443'"))


def test_history_of_the_newest_timeline_follows_the_info() -> None:
    info = _stanza(_said(FULL, "full", 1795884775))
    contents = parse_reading(f"{info}\nHISTORY 00000002.history\n1\t0/5000028\tno recovery target specified\n")
    assert (contents.timeline, contents.forks) == (2, (Fork(timeline=1, at=0x5000028),))
    assert [each.id for each in contents.backups] == [FULL]
    first = parse_reading(f"{info}\n")
    assert (first.timeline, first.forks) == (None, ())
