"""A stack with another master key than its cluster: the cluster is left in peace until the key is right again."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from unittest.mock import patch

import docker as docker_sdk
import pytest
import pytest_asyncio
from cli_program import Ended, Mpg, running_stack
from live_cluster import LiveCluster, load
from rig import until

from activities.postgres.sql import SqlSessions
from model.cluster import WRONG_MASTER_KEY
from model.master_key import KEY_BYTES
from model.probing import STARTUP_S
from model.secrets import key_id
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.prerequisites.engine import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

NAME = "keyed"
LEFT_ALONE_S = STARTUP_S + 30
"""Far longer than a node that has never answered its watch may be silent before it is killed."""


class Stack:
    """A stack whose master key changes, and its one cluster."""

    def __init__(self, program: Mpg, settings: Settings, engine: docker_sdk.DockerClient) -> None:
        self._program = program
        self._path = settings.master_key_file
        self._settings = settings
        self._engine = engine
        self.key = self._path.read_bytes()
        """The one that the cluster was made with."""

    @asynccontextmanager
    async def cluster(self) -> AsyncGenerator[LiveCluster]:
        sql = SqlSessions(self._path.read_bytes())
        async with MpgClient.connect(self._settings) as mpg:
            yield LiveCluster(mpg, NAME, self._engine, sql)
        await sql.close()

    async def run(self, *arguments: str) -> Ended:
        """Run the program to its end, beside what else this test does."""
        return await asyncio.to_thread(self._program.done, *arguments)

    async def refused(self, *arguments: str) -> str:
        return await asyncio.to_thread(self._program.refused, *arguments)

    async def serve_with(self, key: bytes | None, *flags: str) -> None:
        """Stop the stack, put *key* in the former one's place, or nothing, and start it again."""
        await self.run("down")
        self._path.unlink()
        if key is not None:
            self._path.write_bytes(key)
            self._path.chmod(0o600)
        if flags:
            assert "'mpg up --new-key'" in await self.refused("up", "--detach")
            assert self._path.exists() is (key is not None)
        await self.run("up", "--detach", *flags)

    @property
    def key_id(self) -> str:
        """The id of the key that it has now."""
        return key_id(self._path.read_bytes())

    async def until_told(self, wanted: str | None) -> None:
        """Return when the record says that the cluster wants the key with id *wanted*, or no other than it has."""

        async def met() -> bool:
            async with self.cluster() as cluster:
                found = (await cluster.state()).status.condition(WRONG_MASTER_KEY)
            return found is None if wanted is None else found is not None and wanted in found.message

        await until(met, timeout_s=90, what=f"the record about the master key {wanted}")

    async def started(self) -> dict[str, str]:
        async with self.cluster() as cluster:
            return await cluster.started()

    async def is_left_alone(self) -> None:
        """See that every container of the cluster runs on while its loss would long have been seen."""
        before = await self.started()
        assert len(before) == 5
        end = time.monotonic() + LEFT_ALONE_S
        while time.monotonic() < end:
            assert await self.started() == before
            await asyncio.sleep(1)


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(program: Mpg) -> AsyncGenerator[Stack]:
    with patch.dict("os.environ", program.environment):
        settings = load_settings()
    engine = connect(settings)
    made = Stack(program, settings, engine)
    await made.run("create", "--name", NAME)
    yield made
    engine.close()


async def test_with_another_key_a_cluster_is_left_alone_until_its_own_is_back(stack: Stack) -> None:
    other = secrets.token_bytes(KEY_BYTES)
    before = await stack.started()
    async with stack.cluster() as cluster, load(cluster, writers=1) as clients:
        await stack.serve_with(other, "--new-key")
        await stack.until_told(key_id(stack.key))
        await stack.is_left_alone()
        for arguments in (("users", "create", NAME, "-u", "amy", "-r", "writer"), ("switchover", NAME), ("url", NAME)):
            refused = await stack.refused(*arguments)
            assert f"has the master key with id {key_id(stack.key)}" in refused
            assert f"Only if it is lost for good: mpg adopt {NAME} --new-key." in refused
        assert key_id(stack.key) in (await stack.run("status", NAME)).out
        doctor = await asyncio.to_thread(stack._program, "doctor")
        assert doctor.code == 1
        assert f"✗ cluster {NAME}: Cluster {NAME} has the master key with id {key_id(stack.key)}" in doctor.out
        await clients.goes_on()
        await stack.serve_with(stack.key, "--new-key")
        await stack.until_told(None)
        await stack.run("users", "create", NAME, "-u", "amy", "-r", "writer")
        assert await stack.started() == before
    assert await clients.failures() == []
    assert await clients.nothing_lost()
    async with stack.cluster() as cluster:
        await loses_its_replica(cluster)


async def loses_its_replica(cluster: LiveCluster) -> None:
    """It is watched again."""
    _, replica = await cluster.pair()
    before = await cluster.started()
    await cluster.kill(replica.container)
    await cluster.until_whole(restarted=[replica.container], since=before)


async def test_with_a_lost_key_a_cluster_on_record_is_given_a_new_one(stack: Stack) -> None:
    before = await stack.started()
    async with stack.cluster() as cluster, load(cluster, writers=1) as clients:
        await stack.serve_with(None, "--new-key")
        await stack.until_told(key_id(stack.key))
        adopted = await stack.run("adopt", NAME, "--new-key", "--yes")
        assert f"Cluster {NAME} has this stack's master key" in adopted.out
        assert "Not known here are the passwords of fly-user, amy:" in adopted.out
        await stack.until_told(None)
        assert await stack.started() == before
        new_id = stack.key_id
        await old_key_is_another_one_now(stack, new_id)
        await stack.run("switchover", NAME)
    assert await clients.failures() == []
    assert await clients.nothing_lost()
    await stack.run("users", "rotate-password", NAME, "-u", "fly-user")
    async with stack.cluster() as cluster:
        await loses_its_replica(cluster)
        async with await cluster.session() as session:
            assert await (await session.execute("SELECT 1")).fetchone() == (1,)


async def test_cluster_with_another_key_can_be_destroyed(stack: Stack) -> None:
    before = stack.key_id
    await stack.serve_with(secrets.token_bytes(KEY_BYTES), "--new-key")
    await stack.until_told(before)
    await stack.run("destroy", NAME, "--yes", "--keep-backups", "0")
    assert (await stack.run("list", "--json")).json == []


async def old_key_is_another_one_now(stack: Stack, wanted: str) -> None:
    """Labels still name it: what the nodes were given since is what counts."""
    new = stack._path.read_bytes()
    await stack.serve_with(stack.key, "--new-key")
    await stack.until_told(wanted)
    await stack.serve_with(new, "--new-key")
    await stack.until_told(None)
