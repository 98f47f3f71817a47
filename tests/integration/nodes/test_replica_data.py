"""What becomes of a replica's data: they stay until a fresh copy is in sync, wherever that is cut short."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from unittest.mock import patch

import docker as docker_sdk
import psycopg
import pytest
import pytest_asyncio
from cli_program import running_stack
from live_cluster import LiveCluster
from rig import Rig, TestCluster, make_cluster, node_spec, until

from activities.nodes import probe as node_probe
from activities.nodes.replica_data import ReplicaDataActivities
from activities.nodes.replication import ReplicationActivities
from activities.postgres.sql import SqlSessions
from model.effects import AwaitCaughtUpInput, Bootstrap, EnsureNodeInput, NodeRef, Rejoin, Target
from model.errors import HostFull, MpgError, Refused
from model.names import PGDATA, VOLUME_PATH, node_volume
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.client.connection import read_master_key
from starter.prerequisites.engine import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FORMER = f"{VOLUME_PATH}/data.former"
MARK = "only-here"
"""A file in a data directory by which it is told from a copy."""


def shell(cluster: TestCluster, script: str, node: str = "b") -> str:
    """Run *script* on the volume of *node*, which need not run."""
    volume = f"{node_volume(cluster.id, node)}:{VOLUME_PATH}"
    label = "mpg.test=true"
    command = ["docker", "run", "--rm", "--label", label, "-v", volume, "-w", VOLUME_PATH, "--entrypoint", "bash"]
    ended = subprocess.run([*command, cluster.image, "-euc", script], check=True, capture_output=True, text=True)
    return ended.stdout


class Pair:
    """A primary a and a replica b, with what a repair does to b."""

    def __init__(self, rig: Rig, cluster: TestCluster) -> None:
        assert cluster.b is not None
        self.rig, self.cluster, self.b = rig, cluster, cluster.b
        self.key = NodeRef(cluster_id=cluster.id, name="b")
        self.data = ReplicaDataActivities(rig.docker)
        self.replication = ReplicationActivities(rig.sql)

    async def end(self) -> None:
        """End b; the engine says a little later than the kernel that it has."""
        await self.rig.nodes.fence_node(self.key)
        await self.rig.docker.wait(self.b.container, 10)

    async def rejoin(self, how: Rejoin = Rejoin.REWIND) -> None:
        await self.end()
        spec = node_spec(self.cluster.id, self.cluster.network, self.cluster.image, "b", follows=self.cluster.a.address)
        await self.rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.REJOIN, rejoin=how))

    async def stop_and_start_as_a_standby(self) -> None:
        """As a former primary is brought back that ended cleanly, and return when it says that it is one."""
        await self.rig.stop_node(self.cluster.id, "b")
        await self.on_volume("touch data/standby.signal", stop=False)
        await self.rig.docker.start(self.b.container)
        target = Target(cluster_id=self.cluster.id, address=self.b.address)

        async def stands_by() -> bool:
            try:
                async with self.rig.sql.use(target) as connection:
                    return await (await connection.execute("SELECT pg_is_in_recovery()")).fetchone() == (True,)
            except psycopg.OperationalError:
                return False

        await until(stands_by, timeout_s=30, what="the standby")

    async def follows(self) -> None:
        arg = AwaitCaughtUpInput(cluster_id=self.cluster.id, primary=self.cluster.a, replica=self.b, timeout_s=60)
        await self.replication.await_caught_up(arg)

    async def evidence(self) -> str | None:
        return (await self.data.examine_data(self.key)).evidence

    async def on_volume(self, script: str, *, stop: bool = True) -> str:
        if stop:
            await self.end()
        return await asyncio.to_thread(shell, self.cluster, script)

    async def has(self, path: str) -> bool:
        return await self.rig.docker.path_exists(self.b.container, path)


@pytest_asyncio.fixture
async def pair(rig: Rig, cluster_id: str) -> Pair:
    made = Pair(rig, await make_cluster(rig, cluster_id))
    await made.on_volume(f"touch data/{MARK}", stop=False)
    return made


async def test_damaged_data_stay_beside_the_copy_until_they_are_discarded(pair: Pair) -> None:
    await pair.on_volume("dd if=/dev/zero of=data/global/pg_control bs=512 count=1 conv=notrunc 2>&1")
    with pytest.raises(MpgError, match="ended"):
        await pair.rejoin()
    assert "its control file cannot be read" in (await pair.evidence() or "")
    await pair.rejoin(Rejoin.BESIDE)
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    assert not await pair.has(f"{PGDATA}/{MARK}")
    assert await pair.evidence() is None, "what was said before the copy is not about the copy"
    for _ in range(2):
        await pair.data.discard_former(pair.key)
        assert not await pair.has(FORMER)
    await pair.follows()


async def test_former_primary_without_the_wal_to_rewind_it_gets_a_copy_beside_its_data(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, a = pair.cluster, NodeRef(cluster_id=pair.cluster.id, name="a")
    await pair.rig.nodes.fence_node(a)
    async with pair.rig.sql.use(Target(cluster_id=cluster.id, address=pair.b.address)) as connection:
        await connection.execute("SELECT pg_promote()")
        await connection.execute("CHECKPOINT")
    lose_wal = f"touch data/{MARK}; find data/pg_wal -type f -name '0*' -delete"
    await asyncio.to_thread(shell, cluster, lose_wal, "a")
    spec = node_spec(cluster.id, cluster.network, cluster.image, follows=pair.b.address)
    arg = EnsureNodeInput(spec=spec, bootstrap=Bootstrap.REJOIN)
    with monkeypatch.context() as small:
        small.setattr(node_probe, "COPY_WAL_BYTES", 2**60)
        with pytest.raises(HostFull, match="nothing was removed"):
            await pair.rig.nodes.ensure_node(arg)
    assert await pair.rig.docker.path_exists(cluster.a.container, f"{PGDATA}/{MARK}")
    assert (await pair.data.examine_data(a)).evidence is not None
    await pair.rig.nodes.ensure_node(arg)
    assert await pair.rig.docker.path_exists(cluster.a.container, f"{FORMER}/{MARK}")


async def test_without_room_nothing_is_removed_and_with_room_the_node_rejoins(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as small:
        small.setattr(node_probe, "COPY_WAL_BYTES", 2**60)
        for how in (Rejoin.BESIDE, Rejoin.IN_PLACE):
            with pytest.raises(
                HostFull, match=r"another copy: it needs \d+ MB and may have \d+ MB; nothing was removed"
            ):
                await pair.rejoin(how)
            assert await pair.has(f"{PGDATA}/{MARK}")
    assert await pair.evidence() is None
    await pair.rejoin()
    await pair.follows()
    assert await pair.has(f"{PGDATA}/{MARK}")
    await pair.rejoin(Rejoin.IN_PLACE)
    await pair.follows()
    assert not await pair.has(f"{PGDATA}/{MARK}")
    assert not await pair.has(FORMER)


COPY_DONE = "cp -a data data.copy && rm data.copy/only-here && echo done > data.copy.complete"
CUT_SHORT = {
    "a copy half made": "cp -a data data.copy && rm -r data.copy/base",
    "a copy finished": COPY_DONE,
    "the mark of the old data gone": f"{COPY_DONE} && rm data.complete",
    "the old data moved away": f"{COPY_DONE} && rm data.complete && mv data data.former",
    "the copy moved in": f"{COPY_DONE} && rm data.complete && mv data data.former && mv data.copy data",
}


@pytest.mark.parametrize("point", CUT_SHORT)
async def test_start_goes_on_where_a_copy_was_cut_short(pair: Pair, point: str) -> None:
    await pair.on_volume(CUT_SHORT[point])
    await pair.rig.nodes.start_in_place(pair.cluster.id, pair.b)
    await pair.follows()
    finished = point != "a copy half made"
    assert await pair.has(f"{PGDATA}/{MARK}") is not finished
    assert await pair.has(f"{FORMER}/{MARK}") is finished
    assert not await pair.has(f"{VOLUME_PATH}/data.copy")
    assert not await pair.has(f"{VOLUME_PATH}/data.copy.complete")


async def test_second_copy_keeps_what_was_there_first_and_not_a_copy_that_nobody_wrote_to(pair: Pair) -> None:
    for _ in range(3):
        await pair.rejoin(Rejoin.BESIDE)
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    assert not await pair.has(f"{FORMER}.2")


@pytest.mark.parametrize("afterwards", ["killed", "ended cleanly and made a standby again"])
async def test_copy_that_was_promoted_stays_beside_the_next_one(pair: Pair, afterwards: str) -> None:
    await pair.rejoin(Rejoin.BESIDE)
    async with pair.rig.sql.use(Target(cluster_id=pair.cluster.id, address=pair.b.address)) as connection:
        await connection.execute("SELECT pg_promote()")
    if afterwards != "killed":
        await pair.stop_and_start_as_a_standby()
    await pair.on_volume("touch data/written-here")
    await pair.rejoin(Rejoin.BESIDE)
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    assert await pair.has(f"{FORMER}.2/written-here")
    await pair.data.discard_former(pair.key)
    assert not await pair.has(FORMER)
    assert not await pair.has(f"{FORMER}.2")


async def test_data_ahead_of_the_primary_are_evidence_for_a_copy_beside_them_only(pair: Pair) -> None:
    async with pair.rig.sql.use(Target(cluster_id=pair.cluster.id, address=pair.b.address)) as connection:
        await connection.execute("SELECT pg_promote()")
        await connection.execute("CHECKPOINT")
    await pair.stop_and_start_as_a_standby()

    async def seen() -> bool:
        return "promoted after" in (await pair.evidence() or "")

    await until(seen, timeout_s=30, what="what the standby says of the primary's timeline")
    assert (await pair.data.examine_data(pair.key)).ahead


async def test_copy_that_is_ahead_of_the_primary_by_wal_alone_stays_beside_the_next_one(pair: Pair) -> None:
    """As after the primary's disk lost what it had flushed. The timeline does not tell."""
    await pair.rejoin(Rejoin.BESIDE)
    await pair.follows()
    await pair.on_volume("touch data/only-in-the-copy")
    await pair.rejoin(Rejoin.AHEAD)
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    assert await pair.has(f"{FORMER}.2/only-in-the-copy")


@pytest.mark.parametrize("point", ["the copy in place, the dropped data not yet removed", "the data moved away"])
async def test_dropping_a_copy_that_was_never_in_sync_goes_on_where_it_was_cut_short(pair: Pair, point: str) -> None:
    await pair.rejoin(Rejoin.BESIDE)
    copied = "cp -a data data.copy && echo done > data.copy.complete && rm data.complete && mv data data.dropped"
    await pair.on_volume(copied + (" && mv data.copy data" if point.startswith("the copy") else ""))
    await pair.rig.nodes.start_in_place(pair.cluster.id, pair.b)
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    for gone in ("data.dropped", "data.copy", "data.former.2"):
        assert not await pair.has(f"{VOLUME_PATH}/{gone}")


async def test_rewind_that_was_cut_short_is_evidence_only_once_it_had_begun_to_write(pair: Pair) -> None:
    cut = "mv data.complete data.rewinding && printf '%s' > conf/rewind.log"
    await pair.on_volume(cut % "pg_rewind: servers diverged")
    assert await pair.evidence() is None
    await pair.on_volume("echo 'pg_rewind: need to copy 12 MB' >> conf/rewind.log")
    assert "after it had begun to write" in (await pair.evidence() or "")
    await pair.rejoin()
    await pair.follows()
    assert await pair.has(f"{FORMER}/{MARK}")
    assert not await pair.has(f"{VOLUME_PATH}/data.rewinding")


async def test_standby_is_told_from_a_primary_that_takes_writes(pair: Pair) -> None:
    await pair.replication.require_writes(pair.cluster.target)
    with pytest.raises(Refused, match="is a standby: it takes no writes"):
        await pair.replication.require_writes(Target(cluster_id=pair.cluster.id, address=pair.b.address))


# --- a cluster that repairs itself ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack() -> Generator[Settings]:
    """The settings of a stack whose clusters are made of an image that nobody else uses."""
    tag = f"mpg-test-{secrets.token_hex(4)}"
    engine = docker_sdk.from_env()
    engine.images.get(load_settings().node_image_for(17)).tag(tag, "17")
    try:
        with patch.dict("os.environ", {"MPG_NODE_IMAGE": tag}), running_stack() as program:
            with patch.dict("os.environ", program.environment):
                settings = load_settings()
            yield settings
    finally:
        engine.images.remove(f"{tag}:17", noprune=True)
        engine.close()


@asynccontextmanager
async def live(stack: Settings) -> AsyncGenerator[tuple[LiveCluster, docker_sdk.DockerClient]]:
    engine, sql = connect(stack), SqlSessions(read_master_key(stack.master_key_file))
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster("shop")).result()
        cluster = LiveCluster(mpg, "shop", engine, sql)
        await cluster.until_whole()
        yield cluster, engine
    await sql.close()
    engine.close()


def run(engine: docker_sdk.DockerClient, container: str, script: str) -> None:
    ended = engine.containers.get(container).exec_run(["sh", "-euc", script], user="root", workdir=VOLUME_PATH)
    assert ended.exit_code == 0, ended.output


async def test_repair_that_fails_leaves_the_data_and_one_with_evidence_replaces_them(stack: Settings, rig: Rig) -> None:
    image = stack.node_image_for(17)
    async with live(stack) as (cluster, engine):
        _, replica = await cluster.pair()
        run(engine, replica.container, f"touch data/{MARK}")
        kept = engine.images.get(image)
        # As after an image was untagged, and the host's containers were tidied up.
        engine.images.remove(image, noprune=True)
        engine.containers.get(replica.container).remove(force=True, v=True)

        async def told() -> bool:
            conditions = (await cluster.state()).status.conditions
            return any("o such image" in each.message for each in conditions)

        await until(told, timeout_s=90, what="that the image is gone")
        assert await rig.docker.list_volumes({"mpg.cluster": (await cluster.state()).spec.id, "mpg.name": replica.name})
        kept.tag(image)
        await cluster.until_whole()
        assert await rig.docker.path_exists(replica.container, f"{PGDATA}/{MARK}")
        run(engine, replica.container, "dd if=/dev/zero of=data/global/pg_control bs=512 count=1 conv=notrunc")
        before = await cluster.started()
        await cluster.kill(replica.container)
        await cluster.until_whole(restarted=[replica.container], since=before)
        assert not await rig.docker.path_exists(replica.container, f"{PGDATA}/{MARK}")

        async def discarded() -> bool:
            return not await rig.docker.path_exists(replica.container, FORMER)

        await until(discarded, what="the end of the former data")
