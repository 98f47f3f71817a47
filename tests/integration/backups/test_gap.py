"""What a takeover left out of the archive: from the new primary, from the old one's volume, or from nobody."""

from datetime import UTC, datetime
from typing import cast

import pytest
from backed_up import BackedUp, make_backed_up
from rig import Rig, node_spec, until

from activities.backups.unarchived import kept_segments
from activities.nodes.storage import NodeStorage
from model.cluster import Node, NodeRole
from model.effects import Bootstrap, EnsureNodeInput, GapInput, GapReport

pytestmark = pytest.mark.integration


async def script(made: BackedUp, container: str, lines: str) -> None:
    session = await made.rig.docker.open_exec(container, ("sh", "-e"))
    try:
        await session.converse(f"{lines}\necho done\n".encode(), b"done\n", 10)
    finally:
        await session.close()


async def lost_with_segments(made: BackedUp, number: int) -> tuple[Node, list[str]]:
    """Have the primary end with *number* segments that it did not archive, and promote the replica."""
    assert made.b is not None
    await made.archived()
    await made.take("before")
    await made.archived()
    await script(made, made.a.container, "chmod -R a-w /var/lib/pgbackrest/*")
    names: list[str] = []
    for _ in range(number):
        names.append(str(await made.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")))
        await made.run("SELECT pg_logical_emit_message(false, 'test', '')", "SELECT pg_switch_wal()")

    async def streamed() -> bool:
        behind = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) = 0 FROM pg_stat_replication"
        return bool(await made.ask(behind))

    await until(streamed, what="the replica to have it all")
    await made.rig.docker.kill(made.a.container)
    await made.run("SELECT pg_promote(wait => true)", node=made.b)
    await script(made, made.b.container, "chmod -R u+w /var/lib/pgbackrest/*")
    return made.b.model_copy(update={"role": NodeRole.PRIMARY}), names


async def closed(made: BackedUp, primary: Node, unknown_since: datetime | None = None) -> GapReport:
    arg = GapInput(**dict(made.ref), primary=primary, unknown_since=unknown_since)
    return await made.archive.close_archive_gap(arg)


async def in_archive(made: BackedUp, names: list[str]) -> bool:
    said = await made.pgbackrest.ask(made.ref, "list", ("repo-ls", "--recurse", f"archive/{made.id}"))
    return all(f"{name}-" in said for name in names)


async def test_new_primary_archives_what_the_old_one_had_not(rig: Rig, cluster_id: str) -> None:
    made = await make_backed_up(rig, cluster_id, replica=True)
    primary, names = await lost_with_segments(made, 3)
    report = await closed(made, primary)
    assert report.handed_over >= len(names)
    assert report.lost is None
    await made.run("SELECT pg_logical_emit_message(false, 'test', '')", "SELECT pg_switch_wal()", node=primary)
    await until(lambda: in_archive(made, names), timeout_s=75, what="the segments in the archive")
    assert await closed(made, primary) == GapReport(), "there is nothing left to do"
    contents = await made.contents()
    assert (contents.timeline, [fork.timeline for fork in contents.forks]) == (2, [1]), (
        "the history is archived as well"
    )
    assert contents.good == contents.backups, "it ended before the promotion"


WAL = "/var/lib/postgresql/data/pg_wal"
SEGMENT_BYTES = 4 * 2**20
KEPT = "/var/lib/postgresql/wal.unarchived"


async def rejoined(made: BackedUp, primary: Node) -> Node:
    """Bring the old primary back as a replica, rewound."""
    spec = node_spec(made.id, made.network, made.image, follows=primary.address)
    spec = spec.model_copy(update={"repository": made.repository})
    await made.run("CHECKPOINT", node=primary)
    return await made.rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.REJOIN))


async def test_what_only_the_old_primary_has_outlives_its_rewind(rig: Rig, cluster_id: str) -> None:
    made = await make_backed_up(rig, cluster_id, replica=True)
    primary, names = await lost_with_segments(made, 3)
    taken_over = datetime.now(UTC)
    await script(made, primary.container, "chmod -R a-w /var/lib/pgbackrest/*")
    old = await rejoined(made, primary)
    report = await closed(made, primary)
    assert report.unknown is not None, "the archive can be seen, and not written: all is in the archiver's queue only"
    assert (await kept_segments(rig.docker, old.container)) == tuple(names)
    # The new primary is lost with what it was handed.
    await script(made, primary.container, f"cd {WAL}; rm {' '.join(names)}; chmod -R u+w /var/lib/pgbackrest/*")
    await made.backups.take_backup(made.taking("after", primary=primary))
    await script(made, primary.container, "chmod a-rwx /var/lib/pgbackrest/*/archive")
    report = await closed(made, primary)
    assert report.unknown is not None, "the archive cannot be seen"
    assert report.lost is None
    await script(made, primary.container, "chmod u+rwx /var/lib/pgbackrest/*/archive")
    assert [await rig.docker.path_exists(old.container, f"{KEPT}/{name}") for name in names] == [True, True, True]
    assert await made.ask("SHOW wal_recycle", old) == "off", "who recycles a segment writes into its other name"
    # Whatever the rewound node removes by itself.
    await script(made, old.container, f"cd {WAL}; rm -f {' '.join(names)}")
    in_directory = "SELECT sum(size)::bigint FROM pg_ls_waldir()"
    used, before, after = 0, 0, -1
    while before != after:  # a segment came or went between the looks
        before = cast(int, await made.ask(in_directory, old))
        used = (await NodeStorage(rig.sql, old, made.id).look()).usage.wal_bytes
        after = cast(int, await made.ask(in_directory, old))
    assert used - after == 3 * SEGMENT_BYTES, "what is kept is used as well"
    report = await closed(made, primary, taken_over)
    assert (report.rescued, report.lost, report.unknown) == (3, None, None), "a backup made since hides nothing"
    assert await in_archive(made, names)
    assert not await rig.docker.path_exists(old.container, KEPT), "nobody needs it any more"

    async def recycles() -> bool:
        return await made.ask("SHOW wal_recycle", old) == "on"

    await until(recycles, timeout_s=10, what="the node recycling its WAL again")


async def test_what_nobody_has_is_told(rig: Rig, cluster_id: str) -> None:
    made = await make_backed_up(rig, cluster_id, replica=True)
    primary, names = await lost_with_segments(made, 2)
    await script(made, primary.container, f"rm {WAL}/{names[0]}")
    await made.rig.docker.remove(made.a.container)
    report = await closed(made, primary)
    assert (report.rescued, report.lost) == (1, None), "its volume is there"
    assert await in_archive(made, names[:1])
    earliest = await made.ask("SELECT clock_timestamp()", primary)
    await made.archived(primary)
    latest = await made.ask("SELECT clock_timestamp()", primary)
    await script(made, primary.container, "chmod -R a-w /var/lib/pgbackrest/*")
    lost = str(await made.ask("SELECT pg_walfile_name(pg_current_wal_lsn())", primary))
    await made.run("SELECT pg_logical_emit_message(false, 'test', '')", "SELECT pg_switch_wal()", node=primary)
    await script(made, primary.container, f"rm {WAL}/{lost}; chmod -R u+w /var/lib/pgbackrest/*")
    report = await closed(made, primary)
    assert (report.lost, report.lost_last) == (lost, lost)
    assert isinstance(earliest, datetime)
    assert isinstance(latest, datetime)
    assert report.intact_until is not None, "the last commit before it is known"
    assert earliest <= report.intact_until <= latest
