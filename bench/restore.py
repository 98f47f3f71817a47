"""Restores: a fork, a gigabyte beside pgBackRest by hand, and both nodes lost with their disks."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from activities.engine.docker_types import ContainerSpec, Mount
from activities.nodes.archiving import ARCHIVE_TIMEOUT_S
from activities.nodes.files import CONF_DIR
from activities.nodes.repository_conf import RepositoryKeys, repository_environment, repository_files
from bench import pgbench
from bench.containers import make_container
from bench.floor_cluster import floor_cluster
from bench.pitr import archive_all, until_backed_up
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import first_query, in_thread, say
from model.errors import NotFound
from model.names import PGDATA, REPOSITORY_PATH, VOLUME_PATH, backups_volume, node_volume
from starter.client import MpgClient
from starter.client.connection import EndpointKind
from starter.client.operation import Operation

SECTION = "restore"
SCALE = 68
"""pgbench's scale for a gigabyte: 15 MB each."""
_BOUND_S = 600
_POLL_S = 0.03
BY_HAND = f"""
set -e
mkdir -m 0700 {PGDATA}
pgbackrest restore --archive-mode=off
pg_ctl start --silent --wait --timeout={_BOUND_S} --pgdata={PGDATA} --log=/tmp/log --options='-c listen_addresses= \
  -c unix_socket_directories=/tmp -c archive_mode=off -c hot_standby=off -c synchronous_standby_names='
until pg_isready --quiet --host=/tmp; do sleep 0.05; done
"""
"""What the manual says, and no more: the latest backup, all of the archive, and a server that takes writes."""


class Copied(NamedTuple):
    """From the call to the first query through the pooled endpoint, and to the result; seconds."""

    query_s: float
    result_s: float


async def measure(run: Run) -> None:
    """Fork a small cluster; restore a big one; lose all of several."""
    async with run.stack("restore") as (mpg, _):
        await _forks(run, mpg)
        await _gigabyte(run, mpg)
        await _all_lost(run, mpg)


async def _forks(run: Run, mpg: MpgClient) -> None:
    async with run.cluster(mpg, "forked") as cluster:
        await until_backed_up(cluster)
        took = [await _copy(run, mpg, cluster, f"fork-{number}") for number in range(run.count(1, 5))]
    _show(run, "fork of an empty cluster", took, worst=15)


async def _gigabyte(run: Run, mpg: MpgClient) -> None:
    by_hand, creation, took = list[float](), list[float](), list[Copied]()
    async with run.cluster(mpg, "big") as cluster:
        await pgbench.prepare(cluster.uri(EndpointKind.DIRECT), run.count(2, SCALE))
        await until_backed_up(cluster)
        await (await mpg.create_backup(cluster.name, "full")).result()
        async with await cluster.connect_primary() as connection:
            await archive_all(connection)
            row = await (await connection.execute("SELECT sum(pg_database_size(oid)) FROM pg_database")).fetchone()
        for number in range(run.count(1, 3)):
            by_hand.append(await _by_hand(run, cluster, number))
            async with floor_cluster(run.workspace) as made:
                creation.append(made.streaming_s)
            took.append(await _copy(run, mpg, cluster, f"big-{number}"))
    floor = tuple(restore + create for restore, create in zip(by_hand, creation, strict=True))
    what = f"restore of {int(row[0]) / 2**30:.2f} GB" if row else "restore"
    _show(run, what, took, floor, ratio=1.3)
    parts = f"pgBackRest by hand ({_said(by_hand)} s) and the script's creation ({_said(creation)} s)"
    run.remark(f"{what}: the floor is {parts}.")


async def _by_hand(run: Run, cluster: Product, number: int) -> float:
    """Restore the cluster's repository as the manual says; return the seconds until it takes writes."""
    spec, docker, name = cluster.state.spec, run.workspace.docker, f"mpgbench-hand-{number}"
    assert spec.backups is not None
    files = repository_files(spec.backups.repository, spec.id, RepositoryKeys(master_key=cluster.key), CONF_DIR)
    container = ContainerSpec(
        name=name,
        image=spec.image,
        command=("bash", "-c", BY_HAND),
        labels=run.workspace.labels,
        environment=repository_environment(spec.id, CONF_DIR),
        mounts=(
            Mount(volume=name, path=VOLUME_PATH),
            Mount(volume=backups_volume(spec.id), path=REPOSITORY_PATH, read_only=True),
        ),
        shm_mb=256,
    )
    begun = time.perf_counter()
    await in_thread(lambda: docker.create_volume(name, labels=run.workspace.labels))
    await in_thread(make_container, docker, container, files)
    ended = await in_thread(lambda: docker.wait(name, timeout=_BOUND_S))
    took = time.perf_counter() - begun
    if ended["StatusCode"]:
        raise RuntimeError(f"The restore by hand failed: {docker.logs(name, tail=5).decode(errors='replace')}")
    await run.workspace.remove(name)
    return took


async def _copy(run: Run, mpg: MpgClient, cluster: Product, name: str) -> Copied:
    begun = time.perf_counter()
    operation = await mpg.restore_cluster(cluster.name, latest=True, name=name)
    async with _discarded(run, mpg, operation) as cluster_id:
        query, _ = await asyncio.gather(_query(mpg, cluster_id, begun), operation.result())
        return Copied(query, time.perf_counter() - begun)


async def _query(mpg: MpgClient, cluster_id: str, begun: float) -> float:
    async with asyncio.timeout(_BOUND_S):
        while True:
            try:
                state = (await mpg.view(cluster_id)).state
                if state.status.endpoint and state.status.poolers and state.spec.users:
                    break
            except NotFound:
                pass
            await asyncio.sleep(_POLL_S)
        await first_query((await Product.found(mpg, cluster_id)).uri(), timeout_s=_BOUND_S)
    return time.perf_counter() - begun


# --- both nodes lost --------------------------------------------------------------------------------------------------


async def _all_lost(run: Run, mpg: MpgClient) -> None:
    """Lose both nodes of clusters with their volumes, each at another phase of ``archive_timeout``."""
    count = run.count(1, 5)
    async with AsyncExitStack() as clusters:
        made = [await clusters.enter_async_context(run.cluster(mpg, f"lost-{number}")) for number in range(count)]
        after = [ARCHIVE_TIMEOUT_S * (1 + number / count) for number in range(count)]
        lost = await asyncio.gather(*(_lose_all(run, mpg, cluster, s) for cluster, s in zip(made, after, strict=True)))
    run.add(
        Row(
            section=SECTION,
            name="both nodes lost with their disks: committed last and not restored",
            unit="s",
            values=tuple(lost),
            note=f"WAL that is written is archived after {ARCHIVE_TIMEOUT_S} s at most",
            targets=at_most(worst=2 * ARCHIVE_TIMEOUT_S),
        )
    )


async def _lose_all(run: Run, mpg: MpgClient, cluster: Product, after_s: float) -> float:
    """Write a row every 50 ms for *after_s* seconds, remove both nodes, restore; return the seconds that are lost."""
    await until_backed_up(cluster)
    last = await _write_for(cluster, after_s)
    docker, state = run.workspace.docker, await cluster.now()
    containers = [node.container for node in state.status.nodes]
    await asyncio.gather(*(in_thread(lambda c=c: docker.remove_container(c, force=True, v=True)) for c in containers))
    for volume in [node_volume(state.spec.id, node.name) for node in state.status.nodes]:
        await in_thread(lambda volume=volume: docker.remove_volume(volume, force=True))
    operation = await mpg.restore_cluster(cluster.name, latest=True, name=f"{cluster.name}-again")
    async with _discarded(run, mpg, operation) as cluster_id:
        await operation.result()
        copy = await Product.found(mpg, cluster_id)
        async with await psycopg.AsyncConnection.connect(copy.uri(), prepare_threshold=None) as connection:
            row = await (await connection.execute("SELECT max(at) FROM bench_times")).fetchone()
    assert row is not None
    say(f"{cluster.name}: last row acknowledged {last}, restored {row[0]}")
    return (last - row[0]).total_seconds()


async def _write_for(cluster: Product, seconds: float) -> datetime:
    """Return when the last row was committed."""
    last, end = datetime.now(UTC), time.monotonic() + seconds
    async with await psycopg.AsyncConnection.connect(cluster.uri(EndpointKind.DIRECT), autocommit=True) as connection:
        await connection.execute("CREATE TABLE bench_times (at timestamptz PRIMARY KEY)")
        while time.monotonic() < end:
            row = await (
                await connection.execute("INSERT INTO bench_times VALUES (clock_timestamp()) RETURNING at")
            ).fetchone()
            assert row is not None
            last = row[0]
            await asyncio.sleep(0.05)
    return last


@asynccontextmanager
async def _discarded(run: Run, mpg: MpgClient, operation: Operation) -> AsyncGenerator[str]:
    """Lend the id of the cluster that *operation* makes, and remove the cluster afterwards."""
    assert operation.request is not None
    try:
        yield operation.request.cluster_id
    finally:
        await run.discard(mpg, operation.request.cluster_id)


def _show(run: Run, what: str, took: list[Copied], floor: Iterable[float] = (), **limits: float) -> None:
    def row(name: str, values: Iterable[float], floor: Iterable[float] = (), **targets: float) -> None:
        run.add(
            Row(
                section=SECTION,
                name=f"{what}: {name}",
                unit="s",
                values=tuple(values),
                floor=tuple(floor),
                targets=at_most(**targets),
            )
        )

    row("to a first query, pooled", (each.query_s for each in took), floor, **limits)
    row("to the operation's result", (each.result_s for each in took))


def _said(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
