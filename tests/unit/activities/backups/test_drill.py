"""What a drill's container says, and which part of the archive it is asked for."""

import pytest

from activities.backups.comparing import comparison
from activities.backups.drill import LEAST_FREE_BYTES, parse_report, require_room, variables
from model.backups import Repository, RepositoryKind
from model.effects import DrillInput, DrillReport
from model.errors import HostFull
from model.row_samples import Sample, TableSample


@pytest.mark.parametrize(
    ("answer", "report"),
    [
        ("", DrillReport()),
        (
            "copied_s=1.250\nbytes=31852034\nrecovered_s=0.5\narchive_s=2\n",
            DrillReport(copied_s=1.25, restored_bytes=31852034, recovered_s=0.5, archive_s=2.0),
        ),
        ("copied_s=1\nfault=a = b: wrong\n", DrillReport(copied_s=1.0, fault="a = b: wrong")),
    ],
)
def test_report(answer: str, report: DrillReport):
    assert parse_report(answer) == report


@pytest.mark.parametrize("timeline", [None, 1])
def test_backup_that_the_newest_timeline_does_not_come_from_ends_on_its_own(timeline: int | None):
    asked = DrillInput(
        cluster_id="c",
        cluster_name="orders",
        repository=Repository(kind=RepositoryKind.VOLUME, key_id="k"),
        image="mpg-node:17",
        backup_id="20260101-000000F",
        size_bytes=1,
        to_end=False,
        timeline=timeline,
        request_id="r",
    )
    told = variables(asked, None, None)
    assert (told["RESTORE_TYPE"], told.get("RESTORE_TIMELINE")) == ("immediate", timeline and str(timeline))
    sampled = variables(asked, Sample(lsn="0/1", timeline=2, tables=()), None)
    assert (sampled["RESTORE_TYPE"], sampled["RESTORE_TIMELINE"]) == ("lsn", "2")


def test_a_drill_leaves_the_clusters_room_on_the_disk():
    require_room(None, 10**15)
    require_room(LEAST_FREE_BYTES)
    require_room(LEAST_FREE_BYTES + 2000, 1000)
    with pytest.raises(HostFull):
        require_room(LEAST_FREE_BYTES + 1999, 1000)


def test_names_of_users_are_quoted_in_the_comparison():
    table = TableSample(
        database="fly-db",
        oid=16384,
        filenode=16384,
        schema_name="s",
        name="a\"; DROP TABLE b; -- '",
        rows=1,
        places=("(0,1)",),
        digest="0" * 64,
    )
    script = comparison(Sample(lsn="0/1", timeline=1, tables=(table,)))
    connect, *rest = script.splitlines()
    assert connect == '\\connect "fly-db"'
    assert all('a"; DROP' not in line.replace('a""; DROP', "") or "''" in line for line in rest)
    assert '"s"."a""; DROP TABLE b' in script.replace("''", "'")
