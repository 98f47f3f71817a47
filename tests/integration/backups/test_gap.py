"""What a takeover left out of the archive: from the new primary, from the old one's volume, or from nobody."""

import pytest
from backed_up import BackedUp, make_backed_up
from rig import Rig, until

from model.cluster import Node, NodeRole
from model.effects import GapInput, GapReport

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


async def closed(made: BackedUp, primary: Node) -> GapReport:
    return await made.archive.close_archive_gap(GapInput(**dict(made.ref), primary=primary))


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


async def test_what_only_the_old_primary_has_comes_from_its_volume(rig: Rig, cluster_id: str) -> None:
    made = await make_backed_up(rig, cluster_id, replica=True)
    primary, names = await lost_with_segments(made, 3)
    wal = "/var/lib/postgresql/data/pg_wal"
    await script(made, primary.container, f"cd {wal}; rm {' '.join(names)}")
    report = await closed(made, primary)
    assert report.lost is None
    assert await in_archive(made, names)


async def test_what_nobody_has_is_told(rig: Rig, cluster_id: str) -> None:
    made = await make_backed_up(rig, cluster_id, replica=True)
    primary, names = await lost_with_segments(made, 2)
    await script(made, primary.container, f"rm /var/lib/postgresql/data/pg_wal/{names[0]}")
    await made.rig.docker.remove(made.a.container)
    assert (await closed(made, primary)).lost == names[0]
