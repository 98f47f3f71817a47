"""The record of what is no operation: appended to, read by time, kept for so many days, without a secret."""

import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model.cluster import ClusterSpec
from model.errors import NotFound, Refused, Unconfirmed
from model.plans import find_plan, load_plans
from starter.client import audit
from starter.client.audit import AuditAction, AuditRecord, about_cluster, about_organization, person

NOW = datetime.now(UTC)
ALL = (NOW - timedelta(days=3), NOW + timedelta(days=3))
DELETION = about_organization("token/1", AuditAction.DELETE_WEBHOOK, "shop", "wh_1")
SPEC = ClusterSpec(
    id="c" * 16,
    name="orders",
    org="shop",
    region="local",
    host="local",
    plan=find_plan(load_plans(None), "basic"),
    created_at=NOW,
)


def test_what_was_noted_by_several_is_read_in_its_order(tmp_path: Path) -> None:
    one, other = (AuditRecord(tmp_path / "audit", days=2) for _ in range(2))
    one.note("token/1", AuditAction.READ_PASSWORD, SPEC, "amy")
    with other.acting(about_cluster("cli/root", AuditAction.ATTACH_APP, SPEC, "web")):
        pass
    found = list(one.entries(*ALL))
    assert [(each.actor, each.action, each.about) for each in found] == [
        ("token/1", "ReadPassword", "amy"),
        ("cli/root", "AttachApp", "web"),
    ]
    assert {(each.organization, each.cluster_id, each.cluster, each.outcome) for each in found} == {
        ("shop", SPEC.id, "orders", "done")
    }
    assert list(one.entries(ALL[0], found[0].at)) == []
    assert list(one.entries(found[1].at, ALL[1])) == found[1:]
    [file] = (tmp_path / "audit").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_password_shown_again_within_a_minute_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = AuditRecord(tmp_path, days=2)
    for actor in ("token/1", "token/1", "token/2"):
        record.note(actor, AuditAction.READ_PASSWORD, SPEC, "amy")
    record.note("token/1", AuditAction.READ_PASSWORD, SPEC, "ben")
    assert [(each.actor, each.about) for each in record.entries(*ALL)] == [
        ("token/1", "amy"),
        ("token/2", "amy"),
        ("token/1", "ben"),
    ]
    monkeypatch.setattr(audit, "AGAIN", timedelta(0))
    record.note("token/1", AuditAction.READ_PASSWORD, SPEC, "amy")
    assert len(list(record.entries(*ALL))) == 4


def test_files_are_kept_for_so_many_days_and_half_a_line_hides_nothing(tmp_path: Path) -> None:
    days = [NOW.date() - timedelta(days=ago) for ago in (4, 2)]
    for day in days:
        (tmp_path / f"{day}.jsonl").write_text('{"at": "20')
    record = AuditRecord(tmp_path, days=2)
    record.note("token/1", AuditAction.READ_PASSWORD, SPEC, "amy")
    assert [each.actor for each in record.entries(*ALL)] == ["token/1"]
    assert not (tmp_path / f"{days[0]}.jsonl").exists()
    assert (tmp_path / f"{days[1]}.jsonl").exists()


def test_what_cannot_be_recorded_is_refused_each_time(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("not a directory")
    record = AuditRecord(tmp_path / "audit", days=2)
    for _ in range(2):
        with pytest.raises(Refused, match="cannot be written"):
            record.note("token/1", AuditAction.READ_PASSWORD, SPEC, "amy")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (NotFound("There is none."), "failed"),
        (Unconfirmed("Nobody knows."), "asked"),
        (KeyboardInterrupt(), "asked"),
    ],
)
def test_an_act_is_one_entry_with_how_it_ended(tmp_path: Path, error: BaseException | None, outcome: str) -> None:
    record = AuditRecord(tmp_path, days=2)
    with suppress(NotFound, Unconfirmed, KeyboardInterrupt), record.acting(DELETION):
        assert [each.outcome for each in record.entries(*ALL)] == ["asked"]
        if error is not None:
            raise error
    [entry] = record.entries(*ALL)
    assert entry == DELETION.model_copy(update={"outcome": outcome})


def test_an_act_that_cannot_be_recorded_is_not_done_and_one_that_is_done_is_not_refused(tmp_path: Path) -> None:
    file = tmp_path / f"{DELETION.at.date()}.jsonl"
    file.symlink_to("/dev/full")
    record = AuditRecord(tmp_path, days=2)
    with pytest.raises(Refused, match="No space left"), record.acting(DELETION):
        pytest.fail("it was done")
    file.unlink()
    with record.acting(DELETION):
        file.unlink()
        file.symlink_to("/dev/full")


def test_the_command_line_is_its_user() -> None:
    assert person().startswith("cli/")
    assert len(person()) > len("cli/")
