"""Nodes on real Docker: made as their spec says, made again with their data, restarted once."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from rig import (
    PLAN,
    Promised,
    Rig,
    TestCluster,
    make_cluster,
    network_address,
    new_cluster_id,
    node_spec,
    until,
)

from activities.engine import docker_engine
from activities.engine.cleanup import CleanupActivities
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSpec
from activities.fencing import OperationFences
from model.cluster import NodePhase, NodeRole
from model.effects import (
    Bootstrap,
    CheckHostInput,
    EnsureNodeInput,
    RemoveClusterInput,
    RemoveNodeInput,
    RestartNodeInput,
    Target,
)
from model.errors import HostTooSmall, InvalidInput, MpgError, NeedsOperator, NotFound, NotYet, StackDown
from model.names import SUPERUSER, node_container, node_volume
from model.plans import Resources
from model.secrets import derive_password
from model.tuning import postgres_settings

pytestmark = pytest.mark.integration

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


async def _value(rig: Rig, target: Target, query: LiteralString) -> object:
    async with rig.sql.use(target) as connection:
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def _initialised(rig: Rig, cluster_id: str) -> tuple[EnsureNodeInput, Target]:
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    network = await rig.endpoints.create_network(RemoveClusterInput(cluster_id=cluster_id))
    arg = EnsureNodeInput(spec=node_spec(cluster_id, network, check.image), bootstrap=Bootstrap.INIT)
    node = await rig.nodes.ensure_node(arg)
    return arg, Target.of(cluster_id, node)


def _inspect(container: str) -> dict[str, object]:
    return json.loads(_docker("inspect", container))[0]


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


async def test_primary_has_the_settings_and_limits_of_its_plan(rig: Rig, cluster: TestCluster) -> None:
    expected = postgres_settings(Resources(cpus=2, memory_mb=PLAN.memory_mb))
    async with rig.sql.use(cluster.target) as connection:
        for name, value in expected.items():
            differs = await connection.execute(
                "SELECT current_setting(%s), applied, error FROM pg_file_settings WHERE name = %s", [name, name]
            )
            row = await differs.fetchone()
            assert row is not None
            assert row[1], f"{name} = {value} was not applied: {row}"
    host = _inspect(cluster.a.container)["HostConfig"]
    assert isinstance(host, dict)
    assert host["Memory"] == host["MemorySwap"] == PLAN.memory_mb * 1024**2
    assert host["NanoCpus"] == 2 * 10**9
    assert host["ShmSize"] == PLAN.memory_mb // 4 * 1024**2
    assert host["RestartPolicy"]["Name"] == "no"
    assert not host["PortBindings"]


async def test_first_process_of_a_node_is_postgres(cluster: TestCluster) -> None:
    assert _docker("exec", cluster.a.container, "cat", "/proc/1/comm").strip() == "postgres"


async def test_clone_streams_under_its_own_name(rig: Rig, cluster: TestCluster) -> None:
    assert cluster.b is not None
    row = await _value(rig, cluster.target, "SELECT application_name || ' ' || state FROM pg_stat_replication")
    assert row == "b streaming"
    assert (cluster.b.role, cluster.b.phase, cluster.b.timeline) == (NodeRole.REPLICA, NodePhase.RUNNING, 1)


async def test_superuser_is_let_in_from_the_gateway_only(rig: Rig, cluster: TestCluster) -> None:
    password = derive_password(rig.master_key, cluster.id, SUPERUSER)
    through = cluster.model_copy(update={"password": password}).conninfo(cluster.endpoint.direct, SUPERUSER, "postgres")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba|rejects connection"):
        await psycopg.AsyncConnection.connect(through)


async def test_same_spec_leaves_a_running_node_alone(rig: Rig, cluster: TestCluster) -> None:
    before = await rig.docker.inspect(cluster.a.container)
    spec = node_spec(cluster.id, cluster.network, cluster.image)
    await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.INIT))
    assert await rig.docker.inspect(cluster.a.container) == before


async def test_primary_is_not_made_a_replica_while_nobody_else_takes_writes(rig: Rig, cluster: TestCluster) -> None:
    spec = node_spec(cluster.id, cluster.network, cluster.image, follows=network_address(cluster.network, 4))
    with pytest.raises(NeedsOperator, match="takes writes"):
        await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.KEEP))
    assert await _value(rig, cluster.target, "SELECT pg_is_in_recovery()") is False


async def test_standby_is_not_started_as_a_primary(rig: Rig, cluster: TestCluster) -> None:
    spec = node_spec(cluster.id, cluster.network, cluster.image, "b")
    with pytest.raises(NeedsOperator, match="asked to start as the primary"):
        await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.KEEP))
    await rig.stop_node(cluster.id, "b")
    with pytest.raises(NeedsOperator, match="asked to start as the primary"):
        await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.KEEP))
    replica = node_spec(cluster.id, cluster.network, cluster.image, "b", follows=cluster.a.address)
    node = await rig.nodes.ensure_node(EnsureNodeInput(spec=replica, bootstrap=Bootstrap.CLONE))
    assert node.role is NodeRole.REPLICA


async def test_replica_that_becomes_ready_has_no_synchronous_standby(rig: Rig, cluster: TestCluster) -> None:
    async with rig.sql.use(cluster.target) as connection:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'b'")
    await rig.nodes.remove_node(RemoveNodeInput(cluster_id=cluster.id, name="b"))
    spec = node_spec(cluster.id, cluster.network, cluster.image, "b", follows=cluster.a.address)
    node = await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.CLONE))
    async with rig.sql.use(cluster.target) as connection:
        await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    target = Target.of(cluster.id, node)
    assert await _value(rig, target, "SHOW synchronous_standby_names") == ""


async def test_rebuild_with_another_plan_keeps_the_data(rig: Rig, cluster_id: str) -> None:
    arg, target = await _initialised(rig, cluster_id)
    async with rig.sql.use(target) as connection:
        await connection.execute("CREATE TABLE public.kept AS SELECT 42 AS answer")
    larger = arg.spec.model_copy(update={"resources": Resources(cpus=1, memory_mb=768), "plan": "larger"})
    node = await rig.nodes.ensure_node(EnsureNodeInput(spec=larger, bootstrap=Bootstrap.KEEP))
    assert (node.plan, node.memory_mb) == ("larger", 768)
    assert await _value(rig, target, "SELECT answer FROM public.kept") == 42
    assert await _value(rig, target, "SHOW shared_buffers") == "192MB"
    # The stop was clean: nothing had to be replayed.
    assert "was not properly shut down" not in await rig.docker.logs(node.container, lines=50)


async def test_restart_happens_once(rig: Rig, cluster_id: str) -> None:
    arg, target = await _initialised(rig, cluster_id)
    node = await rig.nodes.ensure_node(arg)
    asked = RestartNodeInput(cluster_id=cluster_id, node=node, requested_at=datetime.now(UTC))
    before = await _value(rig, target, "SELECT pg_postmaster_start_time()")
    await rig.nodes.restart_node(asked)
    after = await _value(rig, target, "SELECT pg_postmaster_start_time()")
    await rig.nodes.restart_node(asked)
    assert before != after
    assert await _value(rig, target, "SELECT pg_postmaster_start_time()") == after


async def test_restart_that_was_cut_off_after_the_stop_starts_the_node(rig: Rig, cluster_id: str) -> None:
    arg, target = await _initialised(rig, cluster_id)
    node = await rig.nodes.ensure_node(arg)
    await rig.stop_node(cluster_id, "a")
    await rig.nodes.restart_node(
        RestartNodeInput(cluster_id=cluster_id, node=node, requested_at=datetime(2020, 1, 1, tzinfo=UTC))
    )
    assert await _value(rig, target, "SELECT 1") == 1


async def test_primary_that_had_rejoined_once_starts_again_with_what_only_it_has(rig: Rig, cluster_id: str) -> None:
    cluster = await make_cluster(rig, cluster_id)
    assert cluster.b is not None
    b = Target.of(cluster_id, cluster.b)
    await _take_over(rig, lost=cluster.a.container, by=b)
    spec = node_spec(cluster_id, cluster.network, cluster.image, follows=cluster.b.address)
    a = await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.REJOIN))
    await _take_over(rig, lost=cluster.b.container, by=cluster.target)
    async with rig.sql.use(cluster.target) as connection:
        await connection.execute("CREATE TABLE public.only_here AS SELECT 42 AS answer")
    for _ in range(2):
        # Its container still says "rejoin", whether the other node answers or not.
        _docker("kill", a.container)
        await rig.nodes.start_in_place(cluster_id, a)
        assert await _value(rig, cluster.target, "SELECT pg_is_in_recovery()") is False
        assert await _value(rig, cluster.target, "SELECT answer FROM public.only_here") == 42
        _docker("start", cluster.b.container)


async def _take_over(rig: Rig, *, lost: str, by: Target) -> None:
    _docker("kill", lost)
    async with rig.sql.use(by) as connection:
        await connection.execute("SELECT pg_promote()")
        await connection.execute("CHECKPOINT")


async def test_rejoin_removes_nothing_while_the_primary_does_not_answer(rig: Rig, cluster_id: str) -> None:
    cluster = await make_cluster(rig, cluster_id)
    assert cluster.b is not None
    await _take_over(rig, lost=cluster.a.container, by=Target.of(cluster_id, cluster.b))
    _docker("kill", cluster.b.container)
    spec = node_spec(cluster_id, cluster.network, cluster.image, follows=cluster.b.address)
    with pytest.raises(MpgError, match="does not answer; nothing was removed"):
        await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.REJOIN))
    keep = node_spec(cluster_id, cluster.network, cluster.image)
    assert (await rig.nodes.ensure_node(EnsureNodeInput(spec=keep, bootstrap=Bootstrap.KEEP))).role is NodeRole.PRIMARY


async def test_keep_of_an_empty_volume_is_refused(rig: Rig, cluster_id: str) -> None:
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    network = await rig.endpoints.create_network(RemoveClusterInput(cluster_id=cluster_id))
    spec = node_spec(cluster_id, network, check.image)
    with pytest.raises(NotFound, match="no finished data"):
        await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.KEEP))


async def test_node_that_cannot_start_says_why_at_once(rig: Rig, cluster_id: str) -> None:
    arg, _ = await _initialised(rig, cluster_id)
    await rig.stop_node(cluster_id, "a")
    small = arg.spec.model_copy(update={"resources": Resources(cpus=1, memory_mb=16)})
    with pytest.raises(MpgError):
        async with asyncio.timeout(20):
            await rig.nodes.ensure_node(EnsureNodeInput(spec=small, bootstrap=Bootstrap.KEEP))


async def test_removed_node_leaves_nothing_and_may_be_removed_again(rig: Rig, cluster_id: str) -> None:
    await _initialised(rig, cluster_id)
    labels = {"mpg.cluster": cluster_id}
    assert await rig.docker.list_volumes(labels) == [node_volume(cluster_id, "a")]
    for _ in range(2):
        await rig.nodes.remove_node(RemoveNodeInput(cluster_id=cluster_id, name="a"))
        assert await rig.docker.inspect(node_container(cluster_id, "a")) is None
        assert await rig.docker.list_volumes(labels) == []


async def test_no_secret_is_in_any_containers_description(rig: Rig, cluster: TestCluster) -> None:
    users = [SUPERUSER, "mpg_replicator", "mpg_pooler", "mpg_admin"]
    passwords = [derive_password(rig.master_key, cluster.id, user) for user in users]
    for each in await rig.docker.list_containers({"mpg.cluster": cluster.id}):
        described = json.dumps(_inspect(each.id))
        processes = _docker("top", each.id)
        assert not [user for user, secret in zip(users, passwords, strict=True) if secret in described + processes]


async def test_removing_a_cluster_leaves_nothing_and_may_be_repeated(rig: Rig) -> None:
    made = new_cluster_id()
    key = RemoveClusterInput(cluster_id=made)
    try:
        await make_cluster(rig, made, replica=False)
    finally:
        await rig.cleanup.remove_cluster(key)
    labels = {"mpg.cluster": made}
    assert await rig.docker.list_containers(labels) == []
    assert await rig.docker.list_volumes(labels) == []
    assert await rig.docker.list_networks(labels) == []
    await rig.cleanup.remove_cluster(key)


async def test_container_whose_creation_was_cancelled_while_the_engine_was_slow_is_removed_as_well(
    rig: Rig, cluster_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "CANCELLED_CALL_S", 0.1)
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    labels = {"mpg.cluster": cluster_id}
    async with slow_engine(tmp_path / "slow.sock", "/containers/create") as (address, begun):
        slow = DockerEngine(address)
        spec = ContainerSpec(name=f"late-{cluster_id}", image=check.image, command=("true",), labels=labels)
        creating = asyncio.create_task(slow.create(spec))
        await asyncio.wait_for(begun.wait(), 30)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        cleanup = CleanupActivities(slow, OperationFences(tmp_path))
        await cleanup.remove_cluster(RemoveClusterInput(cluster_id=cluster_id))
        await slow.close()
    assert not await rig.docker.list_containers(labels)


@asynccontextmanager
async def slow_engine(socket: Path, call: str) -> AsyncGenerator[tuple[str, asyncio.Event]]:
    """Lend the engine behind an address at which *call* takes a second to reach it, and tell when one begins."""
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_engine, to_engine = await asyncio.open_unix_connection(ENGINE.removeprefix("unix://"))
        await asyncio.gather(pass_on(reader, to_engine, call), pass_on(from_engine, writer))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: str | None = None) -> None:
        while data := await reader.read(65536):
            if slow and slow.encode() in data:
                begun.set()
                await asyncio.sleep(1)
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, socket)
    async with server:
        yield f"unix://{socket}", begun


async def test_host_check_names_what_is_wrong(rig: Rig) -> None:
    settings = rig.settings.model_copy(update={"allow_overcommit": False})
    strict = type(rig.hosts)(rig.docker, settings, rig.master_key, Promised())
    with pytest.raises(HostTooSmall, match="performance needs"):
        await strict.check_host(CheckHostInput(plan="performance", pg_major_version=17))
    with pytest.raises(NotFound, match=r"Postgres 9; the versions it has: .*17"):
        await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=9))
    with pytest.raises(NotFound, match="has no image mpg-node:gone, which the cluster is made of"):
        await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17, image="mpg-node:gone"))
    other_image = rig.settings.model_copy(update={"node_image": "mpg-no-such-node"})
    elsewhere = type(rig.hosts)(rig.docker, other_image, rig.master_key, Promised())
    with pytest.raises(NotFound, match="no image with PostGIS for Postgres 17") as missing:
        await elsewhere.check_host(CheckHostInput(plan="basic", pg_major_version=17, postgis=True))
    assert "mpg doctor --postgis --fix" in missing.value.remedy
    with pytest.raises(InvalidInput, match="no plan 'huge'"):
        await rig.hosts.check_host(CheckHostInput(plan="huge", pg_major_version=17))


async def test_stopped_node_is_seen_as_ended(rig: Rig, cluster_id: str) -> None:
    await _initialised(rig, cluster_id)
    await rig.stop_node(cluster_id, "a")
    found = await rig.docker.inspect(node_container(cluster_id, "a"))
    assert found is not None
    assert (found.running, found.exit_code) == (False, 0)

    async def gone() -> bool:
        return await rig.docker.stop(found.name) is None

    await until(gone, what="a second stop that finds nothing to do")


async def test_container_that_does_not_hear_the_first_signal_is_told_again(rig: Rig, cluster: TestCluster) -> None:
    """As a node that is still a shell: the first process of a container ignores what it has no handler for."""
    name = f"mpg-test-{new_cluster_id()}"
    hears_later = "sleep 2; trap 'exit 7' INT; while :; do sleep 0.1; done"
    made = ("--detach", "--name", name, "--label", "mpg.test=true", "--entrypoint", "bash")
    _docker("run", *made, cluster.image, "-c", hears_later)
    try:
        assert await rig.docker.stop(name, timeout_s=30) == 7
    finally:
        _docker("rm", "--force", "--volumes", name)


async def test_node_that_does_not_stop_in_time_is_left_running(rig: Rig, cluster: TestCluster) -> None:
    with pytest.raises(NotYet, match="still runs after"):
        await rig.docker.wait(cluster.a.container, 0.3)
    assert await _value(rig, cluster.target, "SELECT 1") == 1


async def test_engine_that_does_not_answer_is_said_with_a_remedy() -> None:
    engine = DockerEngine("unix:///nonexistent/docker.sock")
    with pytest.raises(StackDown, match="does not answer"):
        await engine.host()
    await engine.close()
