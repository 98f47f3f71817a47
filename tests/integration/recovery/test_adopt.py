"""The control plane is lost with its state directory while clusters serve: they are taken over, and nobody notices."""

import asyncio
import secrets
import shutil
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import docker as docker_sdk
import psycopg
import pytest
import pytest_asyncio
from cli_program import Ended, Mpg
from live_cluster import LiveCluster, rows
from rig import Rig, until

from activities.postgres.sql import SqlSessions
from activities.recovery.platform_access import PlatformAccessActivities
from model.backups import BackupRecord
from model.cluster import UNKNOWN_PASSWORD, ClusterState, PoolMode, Role
from model.effects import RemoveClusterInput
from model.errors import Refused
from model.names import NODES, node_container
from model.rebuilding import KEEPS_ALL
from model.secrets import key_id
from model.settings import Settings, load_settings
from model.storage import Storage
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.prerequisites.engine import connect
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter
from starter.stack.state import read_status

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SYNC, ASYNC, SESSION = "adopt-sync", "adopt-async", "adopt-session"
NAMES = (ASYNC, SESSION, SYNC)
DELETED = "dan"
"""A user who is made, deleted before the record is lost, and made again after it."""
USERS = {"amy": Role.WRITER, "ben": Role.READER, "cleo": Role.SCHEMA_ADMIN}


class Stack:
    """A stack that is lost and comes up again, and what its clusters were before."""

    def __init__(self, program: Mpg, settings: Settings, engine: docker_sdk.DockerClient) -> None:
        self.program = program
        self.settings = settings
        self._engine = engine
        self.states: dict[str, ClusterState] = {}
        self.uris: dict[tuple[str, str, EndpointKind], str] = {}

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[MpgClient]:
        async with MpgClient.connect(self.settings) as mpg:
            yield mpg

    @asynccontextmanager
    async def cluster(self, name: str) -> AsyncGenerator[LiveCluster]:
        """The cluster as its stack sees it now, with the key that it has now."""
        sql = SqlSessions(read_master_key(self.settings.master_key_file))
        async with self.client() as mpg:
            yield LiveCluster(mpg, name, self._engine, sql)
        await sql.close()

    async def remember(self) -> None:
        """Keep what is on record, and how every user connects."""
        async with self.client() as mpg:
            for name in NAMES:
                await until(partial(is_idle, mpg, name), timeout_s=30, what=f"{name} idle")
                state = (await mpg.view(name)).state
                self.states[name] = state
                for user in state.spec.users:
                    for kind in EndpointKind:
                        uri = await mpg.connection_uri(name, user=user.name, kind=kind)
                        self.uris[name, user.name, kind] = uri

    async def lose(self, *, keep_key: bool) -> None:
        """End the stack as a crash would, delete its state directory, and start it again in an empty one."""
        status = read_status(self.settings)
        assert status is not None
        processes = [each for each in (status.supervisor, *(part.process for part in status.parts)) if each]
        for process in processes:
            process.send(signal.SIGKILL)

        async def gone() -> bool:
            return not any(process.is_alive() for process in processes)

        await until(gone, what="the end of the stack")
        home, key = self.settings.home, self.settings.master_key_file
        kept = key.read_bytes()
        shutil.rmtree(home)
        if keep_key:
            home.mkdir(mode=0o700)
            key.write_bytes(kept)
            key.chmod(0o600)
        await self.run("up", "--detach")

    async def run(self, *arguments: str) -> Ended:
        """Run the program to its end, beside what else this test does."""
        return await asyncio.to_thread(self.program.done, *arguments)

    async def refused(self, *arguments: str, code: int = 1) -> str:
        return await asyncio.to_thread(lambda: self.program.refused(*arguments, code=code))

    def id(self, name: str) -> str:
        return self.states[name].spec.id

    async def log_in_everywhere(self) -> None:
        """See that every connection string from before still works."""
        for (_, user, _), uri in self.uris.items():
            async with await psycopg.AsyncConnection.connect(uri, connect_timeout=10) as session:
                assert await rows(session, "SELECT session_user::text") == [(user,)]


async def is_idle(mpg: MpgClient, name: str) -> bool:
    view = await mpg.view(name)
    replica = view.state.status.replica
    return view.operation is None and replica is not None and (replica.in_sync or name == ASYNC)


@pytest.fixture(scope="module")
def engine() -> Generator[docker_sdk.DockerClient]:
    client = connect(load_settings())
    yield client
    client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(program: Mpg, engine: docker_sdk.DockerClient, rig: Rig) -> AsyncGenerator[Stack]:
    """A stack with three clusters that differ in all that can differ."""
    with patch.dict("os.environ", program.environment):
        made = Stack(program, load_settings(), engine)
    ids: list[str] = []
    try:
        async with made.client() as mpg:
            await make_clusters(mpg, ids)
        await made.remember()
        yield made
    finally:
        # Those on record are destroyed with the stack.
        known = {each["id"] for each in program("list", "--json").json}
        for cluster_id in set(ids) - known:
            await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=cluster_id))


async def delete_dan(stack: Stack) -> str:
    """Delete a user; return how it connected."""
    async with stack.client() as mpg:
        uri = await mpg.connection_uri(SYNC, user=DELETED)
        await (await mpg.delete_user(SYNC, DELETED)).result()
    stack.uris = {key: kept for key, kept in stack.uris.items() if key[1] != DELETED}
    return uri


async def make_dan_again(stack: Stack, old: str) -> None:
    """Make the user again, give it a new password, and see each time that those before are refused."""
    await stack.run("users", "create", SYNC, "-u", DELETED, "-r", "reader")
    for _ in range(2):
        async with stack.client() as mpg:
            new = await mpg.connection_uri(SYNC, user=DELETED)
        assert new != old
        async with await psycopg.AsyncConnection.connect(new, connect_timeout=10) as session:
            assert await rows(session, "SELECT session_user::text") == [(DELETED,)]
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(old, connect_timeout=10)
        old = new
        await stack.run("users", "rotate-password", SYNC, "-u", DELETED)
    await stack.run("users", "delete", SYNC, "-u", DELETED, "--yes")


async def make_clusters(mpg: MpgClient, ids: list[str]) -> None:
    creations = [
        await mpg.create_cluster(SYNC, storage_gb=7),
        await mpg.create_cluster(ASYNC, durability="async", storage_gb=3),
        await mpg.create_cluster(SESSION, pool_mode=PoolMode.SESSION),
    ]
    ids.extend(operation.request.cluster_id for operation in creations if operation.request)
    await asyncio.gather(*(operation.result() for operation in creations))
    changes = [await mpg.change_plan(SESSION, "starter"), await mpg.create_database(SYNC, "shop")]
    changes += [await mpg.create_user(SYNC, name, role) for name, role in USERS.items()]
    await asyncio.gather(*(operation.result() for operation in changes))
    changes = [await mpg.rotate_password(SYNC, "amy"), await mpg.rotate_password(SYNC, "amy")]
    changes.append(await mpg.delete_user(SYNC, "ben"))
    await asyncio.gather(*(operation.result() for operation in changes))
    await (await mpg.create_user(SYNC, "ben", Role.READER)).result()
    await (await mpg.create_user(SYNC, DELETED, Role.READER)).result()


@asynccontextmanager
async def writing(uri: str) -> AsyncGenerator[CountingWriter]:
    """A client that writes through it all, and sees no error."""
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as session:
        await session.execute(CREATE_TABLE)
    async with CountingWriter(uri, secrets.token_hex(4)) as writer:
        await more_rows(writer)
        yield writer
        await more_rows(writer)
    report = await writer.report()
    assert (report.errors, report.lost) == (0, 0)
    assert report.acknowledged > 0


async def more_rows(writer: CountingWriter) -> None:
    before = writer.acknowledged

    async def met() -> bool:
        return writer.acknowledged > before + 10

    await until(met, timeout_s=30, what="the writer's next rows")


def comparable(state: ClusterState) -> dict[str, Any]:
    """All of it but what is another at each look, and what an adoption leaves to the next backup and the next look."""
    nodes = tuple(node.model_copy(update={"lag_bytes": None}) for node in state.status.nodes)
    seen = {"nodes": nodes, "backups": BackupRecord(), "storage": Storage()}
    assert state.spec.backups is not None
    backups = state.spec.backups.model_copy(update={"policy": KEEPS_ALL})
    return {
        "spec": state.spec.model_copy(update={"backups": backups}).model_dump(),
        "status": state.status.model_copy(update=seen).model_dump(),
    }


def kept_for_good(state: ClusterState) -> bool:
    return state.spec.backups is not None and state.spec.backups.policy == KEEPS_ALL


def forgotten(state: ClusterState) -> ClusterState:
    """*state* with no password known."""
    users = tuple(user.model_copy(update={"password_version": UNKNOWN_PASSWORD}) for user in state.spec.users)
    return state.model_copy(update={"spec": state.spec.model_copy(update={"users": users})})


def archived_anew(state: ClusterState, key: bytes) -> ClusterState:
    """*state* with a repository that is encrypted with another master key."""
    assert state.spec.backups is not None
    repository = state.spec.backups.repository.model_copy(update={"key_id": key_id(key)})
    backups = state.spec.backups.model_copy(update={"repository": repository})
    return state.model_copy(update={"spec": state.spec.model_copy(update={"backups": backups})})


async def test_with_its_key_a_lost_stack_takes_its_clusters_over_as_they_were(stack: Stack) -> None:
    old = await delete_dan(stack)
    await stack.remember()
    assert [former.name for former in stack.states[SYNC].spec.former_users] == [DELETED]
    async with writing(stack.uris[SYNC, "fly-user", EndpointKind.POOLED]) as writer:
        await stack.lose(keep_key=True)
        await more_rows(writer)
        listed = await stack.run("list")
        assert "that this stack does not know: see them with 'mpg adopt'" in listed.err
        found = {each["id"]: each for each in (await stack.run("adopt", "--json")).json}
        for name in NAMES:
            each = found[stack.id(name)]
            assert (each["name"], each["key"], each["problem"]) == (name, "fits", None)
            [note] = each["notes"]
            assert "none is removed before 'mpg backup schedule --keep-days'" in note
        adopted = await stack.run("adopt", "--all")
        assert f"Cluster {SYNC} is on record again, with 4 users and 2 databases. When backups are made" in adopted.out
        async with stack.client() as mpg:
            for name, before in stack.states.items():
                found_now = (await mpg.view(name)).state
                assert comparable(found_now) == comparable(before)
                assert kept_for_good(found_now)
            for (name, user, kind), uri in stack.uris.items():
                assert await mpg.connection_uri(name, user=user, kind=kind) == uri
        again = await stack.run("adopt", stack.id(SYNC))
        assert again.out == f"Cluster {SYNC} is known here already.\n"
        await stack.run("switchover", SYNC)
    await stack.log_in_everywhere()
    await make_dan_again(stack, old)
    await stack.run("users", "create", SESSION, "-u", "dora", "-r", "writer")
    async with stack.cluster(SYNC) as cluster:
        await loses_its_primary(cluster)


async def loses_its_primary(cluster: LiveCluster) -> None:
    primary, replica = await cluster.pair()
    await cluster.kill(primary.container)
    await cluster.until_led_by(replica.name)
    await cluster.until_whole()


async def test_cluster_that_a_living_stack_watches_is_not_taken_over(stack: Stack, rig: Rig) -> None:
    key = read_master_key(stack.settings.master_key_file)
    sql = SqlSessions(key)
    with pytest.raises(Refused, match="Another control plane is at work on cluster adopt-sync"):
        await PlatformAccessActivities(rig.docker, sql, key).look(stack.states[SYNC])
    await sql.close()


async def test_without_its_key_a_cluster_is_taken_over_on_demand_and_users_keep_their_passwords(
    stack: Stack, rig: Rig
) -> None:
    await stack.remember()
    async with writing(stack.uris[SYNC, "fly-user", EndpointKind.POOLED]) as writer:
        await stack.lose(keep_key=False)
        before = await has_files(rig, stack.states[SYNC])
        refused = await stack.refused("adopt", stack.id(SYNC))
        assert f"The master key of this stack does not fit cluster {SYNC} ({stack.id(SYNC)})." in refused
        assert f"Left as it is: {SYNC} ({stack.id(SYNC)})." in (await stack.run("adopt", "--all")).err
        assert await has_files(rig, stack.states[SYNC]) == before
        told = await stack.refused("adopt", stack.id(SYNC), "--new-key", code=2)
        assert "users of" in told
        assert "keep the passwords that they have" in told
        ids = [stack.id(name) for name in NAMES]
        adopted = await stack.run("adopt", *ids, "--new-key", "--yes")
        assert "Not known here are the passwords of fly-user, amy, cleo, ben:" in adopted.out
        await more_rows(writer)
        async with stack.client() as mpg:
            key = read_master_key(stack.settings.master_key_file)
            for name, state in stack.states.items():
                assert comparable((await mpg.view(name)).state) == comparable(archived_anew(forgotten(state), key))
        assert await has_files(rig, stack.states[SYNC]) == before
        await stack.run("switchover", SYNC)
    await stack.log_in_everywhere()
    assert "is not known here" in await stack.refused("url", SYNC, "-u", "amy")
    await stack.run("users", "rotate-password", SYNC, "-u", "amy")
    async with stack.cluster(SYNC) as cluster, await cluster.session(user="amy") as session:
        assert await rows(session, "SELECT session_user::text") == [("amy",)]
        await loses_its_replica(cluster)


async def has_files(rig: Rig, state: ClusterState) -> list[bytes | None]:
    """Who may come into each node."""
    path = "/var/lib/postgresql/conf/pg_hba.conf"
    return [await rig.docker.get_file(node_container(state.spec.id, node), path) for node in NODES]


async def loses_its_replica(cluster: LiveCluster) -> None:
    """A new connection for replication needs the new password."""
    _, replica = await cluster.pair()
    before = await cluster.started()
    await cluster.kill(replica.container)
    await cluster.until_whole(restarted=[replica.container], since=before)
