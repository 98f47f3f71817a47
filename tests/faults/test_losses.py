"""What clients are promised when parts of a cluster are lost, one by one and together: a real stack, with real load."""

import asyncio
import time
from collections.abc import AsyncGenerator

import docker
import psycopg
import pytest
import pytest_asyncio
from cli_program import Mpg
from live_cluster import LiveCluster, load, rows
from rig import until

from activities.postgres.sql import SqlSessions
from model.cluster import ClusterPhase, Node
from model.settings import Settings
from model.tuning import MAX_CONNECTIONS
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.client.temporal import connect as connect_temporal
from starter.quickstart.counting_writer import TABLE
from tests.faults.disks import small_disk_cluster
from tests.faults.invariants import Eyes
from tests.faults.losses import Injury, half_open_logins, names

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
slow = pytest.mark.faults

NAME = "shop"
FLOODED_S = 20.0
"""Some ten probes of each kind; a loss is told after two."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def eyes(stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[Eyes]:
    sql = SqlSessions(read_master_key(stack.master_key_file))
    temporal = await connect_temporal(stack)
    async with MpgClient.connect(stack) as mpg:
        yield Eyes(mpg=mpg, temporal=temporal, engine=engine, sql=sql)
    await sql.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(eyes: Eyes) -> AsyncGenerator[Injury]:
    """One cluster for most tests here; each leaves it whole."""
    await (await eyes.mpg.create_cluster(NAME)).result()
    made = Injury(LiveCluster(eyes.mpg, NAME, eyes.engine, eyes.sql), eyes)
    await made.until_whole()
    yield made


async def poolers(injury: Injury) -> list[str]:
    return [pooler.container for pooler in (await injury.cluster.state()).status.current_poolers]


async def endpoint(injury: Injury) -> str:
    found = (await injury.cluster.state()).status.endpoint
    assert found is not None
    return found.container


# --- one loss ---------------------------------------------------------------------------------------------------------


async def test_primary_whose_network_is_cut_is_ended_before_the_other_is_promoted(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.deaths(primary.container) as deaths, shop.suffered():
        cut = time.time()
        await shop.cut_network(primary)
        await shop.cluster.until_led_by(replica.name)
    assert deaths, f"{primary.container} has not died"
    # What the old one had sent in the moment of the cut is there with an earlier time.
    assert cut <= deaths[0] < await shop.first_row_after(cut + 1)
    assert await shop.address(primary.container) == [primary.address]
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


@slow
async def test_replica_whose_network_is_cut_gets_its_address_back(shop: Injury) -> None:
    before = await shop.cluster.pair()
    for _ in range(2):  # the second time its container is one that had rejoined before
        async with shop.suffered() as clients:
            await shop.cut_network(before[1])
            await clients.goes_on()
        assert await shop.address(before[1].container) == [before[1].address]
        assert names(await shop.cluster.pair()) == names(before)


async def test_primary_whose_data_directory_is_gone_is_replaced_and_gets_a_copy(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.suffered():
        begun = time.monotonic()
        await shop.lose_data(primary)
        await shop.cluster.until_led_by(replica.name)
        # Postgres itself looks once a minute.
        assert time.monotonic() - begun < 40
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


@slow
async def test_replica_whose_data_directory_is_gone_gets_a_copy(shop: Injury) -> None:
    before = await shop.cluster.pair()
    started = await shop.cluster.started()
    async with shop.suffered() as clients:
        await shop.lose_data(before[1])
        await shop.cluster.until_whole(restarted=[before[1].container], since=started)
    assert await clients.failures() == []
    assert names(await shop.cluster.pair()) == names(before)


async def test_primary_that_is_stopped_by_a_signal_is_noticed_and_replaced(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.suffered():
        # Its sessions go on answering: only who connects anew is left without an answer.
        await shop.signal(primary.container, "SIGSTOP")
        await shop.cluster.until_led_by(replica.name)
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


async def test_removed_pooler_is_made_anew(shop: Injury) -> None:
    lost = (await poolers(shop))[0]
    addresses = [await shop.cluster.uri(kind) for kind in EndpointKind]
    async with shop.suffered():
        await shop.remove(lost)
        await shop.cluster.until_whole(restarted=[lost], since={})
    assert [await shop.cluster.uri(kind) for kind in EndpointKind] == addresses


# --- no loss ----------------------------------------------------------------------------------------------------------


async def test_logins_that_are_left_half_open_lose_nobody(shop: Injury) -> None:
    before, ran = await shop.cluster.pair(), await shop.operations()
    started = await shop.cluster.started()
    found = (await shop.cluster.state()).status.endpoint
    assert found is not None
    async with load(shop.cluster, writers=1) as clients:
        async with half_open_logins(found.direct, MAX_CONNECTIONS + 100):

            async def full() -> bool:
                try:
                    await shop.cluster.ask(before[0], "SELECT 1")
                except psycopg.Error as error:
                    return "too many clients" in str(error)
                return False

            await until(full, timeout_s=60, what="nobody let in")
            end = time.monotonic() + FLOODED_S
            while time.monotonic() < end:
                await clients.goes_on()
        await clients.goes_on()
    assert await clients.nothing_lost()
    await shop.until_whole()
    assert await shop.operations() == ran
    assert await shop.cluster.started() == started
    assert names(await shop.cluster.pair()) == names(before)


async def test_primary_restarts_its_sessions_by_itself_when_one_is_killed(shop: Injury) -> None:
    before, ran = await shop.cluster.pair(), await shop.operations()
    started = await shop.cluster.started()
    for _ in range(2):
        async with shop.suffered(), await shop.cluster.session(EndpointKind.DIRECT) as session:
            ((pid,),) = await rows(session, "SELECT pg_backend_pid()")
            await shop.signal_process(before[0], "KILL", pid)
            with pytest.raises(psycopg.OperationalError):
                await rows(session, "SELECT pg_sleep(30)")
    assert await shop.operations() == ran
    assert await shop.cluster.started() == started
    assert names(await shop.cluster.pair()) == names(before)


async def test_replica_that_stops_to_acknowledge_holds_no_commit_for_long_and_is_brought_back(shop: Injury) -> None:
    before, started = await shop.cluster.pair(), await shop.cluster.started()
    replica = before[1]
    ((receiver,),) = await shop.cluster.ask(replica, "SELECT pid FROM pg_stat_wal_receiver")
    async with shop.suffered() as clients:
        await shop.signal_process(replica, "STOP", receiver)
        begun = time.monotonic()
        await clients.goes_on()
        # The receiver would be missed by its primary after 10 s; commits would wait on.
        assert time.monotonic() - begun < 30
        said = await shop.until_degraded()
        assert said.startswith(f"{replica.name} was lost (it has acknowledged nothing for 3 s)")
        await shop.cluster.until_whole(restarted=[replica.container], since=started)
    assert await clients.failures() == []
    assert names(await shop.cluster.pair()) == names(before)


# --- two at once ------------------------------------------------------------------------------------------------------


async def test_both_nodes_killed_at_once_start_again_and_nobody_is_promoted(shop: Injury) -> None:
    lost, kept = await shop.cluster.pair()
    async with shop.suffered():
        # So that the primary's container is one that was made to rejoin.
        await shop.cluster.kill(lost.container)
        await shop.cluster.until_led_by(kept.name)
    async with shop.suffered():
        await shop.cluster.kill(kept.container)
        await shop.cluster.until_led_by(lost.name)
    before = await shop.cluster.pair()
    started = await shop.cluster.started()
    both = [node.container for node in before]
    async with shop.suffered():
        await shop.cluster.kill(*both)
        await shop.cluster.until_whole(restarted=both, since=started)
    now = await shop.cluster.pair()
    assert names(now) == names(before) == [lost.name, kept.name]
    assert [node.timeline for node in now] == [node.timeline for node in before]


@slow
@pytest.mark.parametrize("pause_s", [0.0, 0.3, 1.0])
async def test_replica_and_then_primary_killed(shop: Injury, pause_s: float) -> None:
    primary, replica = await shop.cluster.pair()
    started = await shop.cluster.started()
    async with shop.suffered():
        await shop.cluster.kill(replica.container)
        await asyncio.sleep(pause_s)
        await shop.cluster.kill(primary.container)
        await shop.cluster.until_whole(restarted=[primary.container], since=started)


@slow
@pytest.mark.parametrize("pause_s", [0.3, 0.6, 1.0])
async def test_primary_and_then_the_promoted_one_killed(shop: Injury, pause_s: float) -> None:
    primary, replica = await shop.cluster.pair()
    started = await shop.cluster.started()
    async with shop.suffered():
        await shop.cluster.kill(primary.container)
        await asyncio.sleep(pause_s)
        await shop.cluster.kill(replica.container)
        both = [primary.container, replica.container]
        await shop.cluster.until_whole(restarted=both, since=started)


async def test_primary_and_a_pooler_killed_at_once(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    lost = (await poolers(shop))[1]
    started = await shop.cluster.started()
    async with shop.suffered():
        await shop.cluster.kill(primary.container, lost)
        await shop.cluster.until_led_by(replica.name)
        await shop.cluster.until_whole(restarted=[lost], since=started)
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


@slow
async def test_primary_killed_and_a_pooler_removed_at_once(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    lost = (await poolers(shop))[1]
    async with shop.suffered():
        await asyncio.gather(shop.cluster.kill(primary.container), shop.remove(lost))
        await shop.cluster.until_led_by(replica.name)
        await shop.cluster.until_whole(restarted=[lost], since={})


@slow
async def test_primary_and_the_endpoint_killed_at_once(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    lost = await endpoint(shop)
    started = await shop.cluster.started()
    async with shop.suffered():
        await shop.cluster.kill(lost, primary.container)
        await shop.cluster.until_led_by(replica.name)
        await shop.cluster.until_whole(restarted=[lost], since=started)


@slow
async def test_everything_killed_at_once(shop: Injury) -> None:
    """As after a reboot of the host, which Docker's own restart of poolers and endpoint has not seen."""
    before = await shop.cluster.pair()
    started = await shop.cluster.started()
    async with shop.suffered():
        await shop.cluster.kill(*started)
        await shop.cluster.until_whole(restarted=list(started), since=started)
    assert names(await shop.cluster.pair()) == names(before)


# --- no room ----------------------------------------------------------------------------------------------------------


@slow
async def test_primary_whose_disk_is_full_is_replaced_and_comes_back_once_there_is_room(eyes: Eyes) -> None:
    async with small_disk_cluster(eyes, "tight", "a") as disk:
        tight = Injury(LiveCluster(eyes.mpg, "tight", eyes.engine, eyes.sql), eyes)
        await tight.until_whole()
        primary, replica = await tight.cluster.pair()
        async with tight.suffered() as clients:
            await disk.fill()
            await tight.need_wal(primary)
            await tight.cluster.until_led_by(replica.name)
            await clients.goes_on()
            said = await tight.until_degraded()
            assert said.startswith(f"{primary.name} was lost")
            assert "disk" in said
            assert "full" in said
            assert (await tight.cluster.state()).status.phase is ClusterPhase.READY
            await disk.empty()
        assert names(await tight.cluster.pair()) == [replica.name, primary.name]


@slow
async def test_nodes_whose_disks_are_full_both_wait_for_room_and_nobody_is_promoted(eyes: Eyes) -> None:
    async with small_disk_cluster(eyes, "tight", "a", "b") as disks:
        tight = Injury(LiveCluster(eyes.mpg, "tight", eyes.engine, eyes.sql), eyes)
        await tight.until_whole()
        before = await tight.cluster.pair()
        async with tight.suffered():
            await disks.fill()
            await tight.need_wal(before[0])
            await tight.until_phase(ClusterPhase.NEEDS_OPERATOR)
            said = await tight.said("NeedsOperator")
            assert said.startswith(f"Node {before[0].name} was lost")
            assert "full" in said
            await disks.empty()
        now = await tight.cluster.pair()
        assert names(now) == names(before)
        assert [node.timeline for node in now] == [node.timeline for node in before]


# --- a loss that has to be accepted -----------------------------------------------------------------------------------


async def test_forced_failover_loses_what_the_replica_lacked_and_nothing_else(program: Mpg, eyes: Eyes) -> None:
    name = "books"
    await (await eyes.mpg.create_cluster(name)).result()
    books = Injury(LiveCluster(eyes.mpg, name, eyes.engine, eyes.sql), eyes)
    await books.until_whole()
    primary, replica = await books.cluster.pair()
    assert f"run 'mpg switchover {name}'" in program.refused("failover", name, "--accept-loss", "--yes")
    async with load(books.cluster, writers=2) as clients:
        before = await count(books)
        await leave_behind(books, primary, replica)
        await clients.goes_on()
        async with await books.cluster.session() as session:
            await session.execute("CREATE TABLE only_on_the_primary AS SELECT 1 AS n")
        await books.lose_data(primary)
        await books.until_phase(ClusterPhase.NEEDS_OPERATOR)
        why = await books.said("NeedsOperator")
        assert why.startswith(f"Node {primary.name} was lost")
        assert f"mpg failover {name} --accept-loss" in why
        assert "would be lost for ever" in program.refused("failover", name)
        said = program.done("failover", name, "--accept-loss", "--yes").out
        await clients.goes_on()
    await books.until_whole()
    assert names(await books.cluster.pair()) == [replica.name, primary.name]
    assert said.startswith(f"Node {replica.name} is the primary of cluster {name} now. It has all up to WAL position ")
    assert f"What {primary.name} acknowledged after that is lost; how far it came cannot be read any more." in said
    async with await books.cluster.session() as session:
        assert await rows(session, "SELECT to_regclass('only_on_the_primary')::text") == [(None,)]
    assert await count(books) >= before
    # Of each writer only the rows between what the replica had and the failover are lost.
    assert all(report.lost > 0 for report in await clients.reports())
    assert await clients.gaps() == [1, 1]
    program.done("destroy", name, "--yes", "--keep-backups", "0")


async def count(injury: Injury) -> int:
    async with await injury.cluster.session() as session:
        ((number,),) = await rows(session, f"SELECT count(*) FROM {TABLE}")
    assert isinstance(number, int)
    return number


async def leave_behind(injury: Injury, primary: Node, replica: Node) -> None:
    """Have the primary go on without its replica, which runs and cannot follow."""
    hba = "/var/lib/postgresql/conf/pg_hba.conf"
    await injury.run(primary.container, f"sed -i '1i host replication all all reject' {hba} && kill -HUP 1")
    await injury.cluster.kill(replica.container)

    async def away() -> bool:
        found = (await injury.cluster.state()).status.replica
        if found is None or found.in_sync:
            return False
        try:
            return (await injury.cluster.ask(found, "SELECT pg_is_in_recovery()")) == [(True,)]
        except psycopg.Error:
            return False

    await until(away, timeout_s=60, what="the replica started again, and not in sync")
