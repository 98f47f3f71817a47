"""`mpg restore` and `mpg fork` on a running stack: to a moment, across takeovers, of a cluster that is gone."""

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import psycopg
import pytest
import pytest_asyncio
from cli_program import Ended, Mpg
from live_cluster import GapWriter, LiveCluster, rows
from rig import until

from activities.postgres.sql import SqlSessions
from model.names import backups_volume
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key
from starter.quickstart.counting_writer import CREATE_TABLE

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SOURCE = "orders"


class Site:
    """The stack, and clusters on it by their names."""

    def __init__(self, program: Mpg, mpg: MpgClient, engine: docker.DockerClient, sql: SqlSessions) -> None:
        self.program, self.mpg, self._engine, self._sql = program, mpg, engine, sql

    async def run(self, *arguments: str) -> Ended:
        return await asyncio.to_thread(self.program.done, *arguments)

    async def refused(self, *arguments: str, code: int = 1) -> str:
        return await asyncio.to_thread(lambda: self.program.refused(*arguments, code=code))

    def cluster(self, name: str) -> LiveCluster:
        return LiveCluster(self.mpg, name, self._engine, self._sql)

    async def backed_up(self, name: str) -> str:
        """The id of a cluster's first backup, once it is made."""

        async def made() -> bool:
            return (await self.mpg.view(name)).state.status.backups.latest() is not None

        await until(made, timeout_s=180, what=f"a backup of {name}")
        # Its end is noted in whole seconds: moments from the next one on can be restored.
        await asyncio.sleep(1.1)
        latest = (await self.mpg.view(name)).state.status.backups.latest()
        assert latest is not None
        return latest.id

    def carriers(self, cluster_id: str) -> list[str]:
        """What there is of a cluster: containers, volumes, networks."""
        chosen: Any = {"label": f"mpg.cluster={cluster_id}"}
        containers: list[Any] = self._engine.containers.list(all=True, filters=chosen, ignore_removed=True)
        volumes: list[Any] = self._engine.volumes.list(filters=chosen)
        networks: list[Any] = self._engine.networks.list(filters=chosen)
        return [each.name for each in (*containers, *volumes, *networks)]

    def unnamed(self, cluster_id: str) -> set[str]:
        """The volumes of a cluster's containers that have no name, and no label by which they could be found later."""
        chosen: Any = {"label": f"mpg.cluster={cluster_id}"}
        containers: list[Any] = self._engine.containers.list(all=True, filters=chosen, ignore_removed=True)
        mounted = {each["Name"] for container in containers for each in container.attrs["Mounts"] if "Name" in each}
        return mounted - set(self.carriers(cluster_id))

    def volumes(self) -> set[str]:
        """All that the engine has, whoever made them."""
        found: list[Any] = self._engine.volumes.list()
        return {each.name for each in found}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(program: Mpg, stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[Site]:
    """Lend a stack with a source that has a user, a database, a parameter and a backup."""
    sql = SqlSessions(read_master_key(stack.master_key_file))
    async with MpgClient.connect(stack) as mpg:
        made = Site(program, mpg, engine, sql)
        await made.run("create", "--name", SOURCE)
        await made.run("users", "create", SOURCE, "-u", "amy", "-r", "writer")
        await made.run("databases", "create", SOURCE, "-n", "shop")
        async with await made.cluster(SOURCE).session() as session:
            await session.execute(CREATE_TABLE)
            await session.execute("CREATE TABLE marks (n int)")
        await made.backed_up(SOURCE)
        yield made
    await sql.close()


async def count(cluster: LiveCluster) -> int:
    async with await cluster.session() as session:
        found = await rows(session, "SELECT count(*) FROM marks")
    return int(str(found[0][0]))


async def mark(cluster: LiveCluster, number: int) -> datetime:
    """Write a row, and return a moment after it by the cluster's own clock."""
    async with await cluster.session() as session:
        await session.execute(f"INSERT INTO marks VALUES ({number})".encode())
        found = await rows(session, "SELECT clock_timestamp()")
    assert isinstance(found[0][0], datetime)
    return found[0][0]


async def test_moment_before_two_takeovers_and_after_them(site: Site) -> None:
    """Rows before the mark are there and none after it, while the source goes on, and does not notice."""
    source = site.cluster(SOURCE)
    async with GapWriter(await source.uri(), "before") as writer:
        first = await mark(source, 1)
        await site.run("switchover", SOURCE)
        second = await mark(source, 2)
        primary, _ = await source.pair()
        await source.kill(primary.container)
        await source.until_whole()
        third = await mark(source, 3)
        await mark(source, 4)
        for at, name in ((first, "one"), (second, "two"), (third, "three")):
            await site.run("restore", SOURCE, "--pitr-time", at.isoformat(), "--name", name)
        before = writer.acknowledged
        await until(lambda: _more(writer, before), what="the source's writer")
    assert [await count(site.cluster(name)) for name in ("one", "two", "three")] == [1, 2, 3]
    assert (await writer.report()).lost == 0
    assert await source.whole()
    assert [await site.cluster(name).whole() for name in ("one", "two", "three")] == [True] * 3


async def _more(writer: GapWriter, before: int) -> bool:
    return writer.acknowledged > before


async def test_users_have_new_passwords_and_the_old_ones_are_refused(site: Site) -> None:
    await site.run("fork", SOURCE)
    source, fork = site.cluster(SOURCE), site.cluster(f"{SOURCE}-fork")
    state = await fork.state()
    assert {(user.name, user.password_version) for user in state.spec.users} == {("fly-user", 1), ("amy", 1)}
    assert {database.name for database in state.spec.databases} == {"fly-db", "shop"}
    for user in ("fly-user", "amy"):
        async with await fork.session(user=user) as session:
            assert await rows(session, "SELECT session_user::text") == [(user,)]
        old = re.sub(
            r"@[^/]+/",
            f"@{(await fork.uri(user=user)).partition('@')[2].partition('/')[0]}/",
            await source.uri(user=user),
        )
        with pytest.raises(psycopg.OperationalError, match=r"authentication failed|SASL"):
            await psycopg.AsyncConnection.connect(old, connect_timeout=10)
    assert await count(fork) == await count(source)
    # It is a cluster like any other: backed up by itself, and changed without a trace at the source.
    await site.run("users", "rotate-password", fork.name, "-u", "amy")
    await site.backed_up(fork.name)


async def test_moment_outside_of_the_window_is_refused_before_anything_is_made(site: Site) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for at in ("2020-01-01T00:00:00Z", soon):
        said = await site.refused("restore", SOURCE, "--pitr-time", at, "--name", "never")
        assert re.search(r"cannot be restored: the backups and the archive reach from 20\S+ \S+ UTC to 20", said), said
    said = await site.refused("restore", SOURCE, "--backup-id", "20200101-000000F", "--name", "never")
    assert "There is no backup '20200101-000000F'" in said
    assert "never" not in (await site.run("list")).out


async def test_destroyed_cluster_comes_back_with_its_last_commit(site: Site) -> None:
    await site.run("create", "--name", "gone")
    gone = site.cluster("gone")
    async with await gone.session() as session:
        await session.execute("CREATE TABLE marks (n int)")
    # Its first backup is being made: the copy waits for it.
    await site.run("fork", "gone", "--name", "early")
    assert await count(site.cluster("early")) == 0
    await mark(gone, 1)
    cluster_id = (await gone.state()).spec.id
    said = (await site.run("destroy", "gone", "--yes", "--keep-backups", "2")).out
    assert f"mpg restore {cluster_id}" in said
    assert site.carriers(cluster_id) == [backups_volume(cluster_id)]
    deleted = (await site.run("list", "--deleted", "--json")).json
    until_then = datetime.fromisoformat(next(each for each in deleted if each["id"] == cluster_id)["restorable_until"])
    assert timedelta(days=1, hours=23) < until_then - datetime.now(UTC) < timedelta(days=2)
    listed = (await site.run("backup", "list", "gone", "--json")).json
    assert [each["status"] for each in listed] == ["completed"], "by its name, as it is restored"
    said = await site.refused("backup", "verify", "gone", "--json")
    assert f"Cluster gone ({cluster_id}) was destroyed: its backups are proven by restoring it." in said
    await site.run("restore", "gone", "--latest", "--name", "gone")
    assert await count(gone) == 1
    assert (await gone.state()).spec.id != cluster_id
    await site.refused("backup", "remove-kept", cluster_id, code=2)
    said = await site.refused("backup", "remove-kept", "gone", "--yes")
    assert "is not destroyed: its backups are in use, not kept." in said
    removed = (await site.run("backup", "remove-kept", cluster_id, "--yes", "--json")).json
    assert removed == {"id": cluster_id, "name": "gone"}
    assert site.carriers(cluster_id) == []
    assert "no backups are kept" in await site.refused("backup", "remove-kept", cluster_id, "--yes")
    listed = {each["id"]: each["restorable_until"] for each in (await site.run("list", "--deleted", "--json")).json}
    assert listed[cluster_id] is None
    assert await count(gone) == 1, "the one that lives has the same name"


async def test_destroyed_cluster_without_its_backups_is_gone(site: Site) -> None:
    await site.run("create", "--name", "forgotten")
    cluster_id = (await site.cluster("forgotten").state()).spec.id
    unnamed = site.unnamed(cluster_id)
    assert len(unnamed) >= 3, "two poolers and the endpoint have their files on one each"
    await site.run("destroy", "forgotten", "--yes", "--keep-backups", "0")
    assert site.carriers(cluster_id) == []
    assert site.volumes().isdisjoint(unnamed)
    assert "no backups are kept" in await site.refused("restore", "forgotten", "--latest")


async def test_restore_that_is_cancelled_leaves_nothing(site: Site) -> None:
    operation = await site.mpg.restore_cluster(SOURCE, latest=True, name="undone")
    await site.cluster("undone").until_doing(operation, "restore its latest moment")
    await operation.cancel()
    with pytest.raises(Exception, match="cancelled"):
        await operation.result()
    assert site.carriers((await operation.progress()).cluster_id) == []
    assert "undone" not in (await site.run("list")).out
