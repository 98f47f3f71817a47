"""What each hop costs: pgbench -S inside the node, through the direct endpoint, through the pooled one."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench import pgbench
from bench.report import Row
from bench.run import Product, Run
from bench.workspace import await_port
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from model.secrets import derive_password
from starter.client.connection import EndpointKind

SECTION = "hops"
_MANY = 16

Select = Callable[[int, float], Awaitable[tuple[float, float]]]


async def measure(run: Run) -> None:
    """Measure each way in turn, several times, so that noise hits all of them."""
    seconds, rounds = run.count(1, 5), run.count(1, 3, 5)
    async with run.stack("hops") as (mpg, _), run.cluster(mpg, "hops") as cluster, _haproxy(run, cluster) as proxied:
        await pgbench.prepare(cluster.uri(), run.count(1, pgbench.SCALE))
        ways: dict[str, Select] = {
            "inside the node": _inside(cluster),
            "direct endpoint": _from_here(cluster.uri(EndpointKind.DIRECT)),
            "pooled endpoint": _from_here(cluster.uri()),
        }
        if proxied:
            ways["HAProxy before the direct endpoint"] = _from_here(proxied)
        latency: dict[str, list[float]] = {way: [] for way in ways}
        tps: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, select in ways.items():
                latency[way].append((await select(1, seconds))[0])
                tps[way].append((await select(_MANY, seconds))[1])
    for way in ways:
        run.add(Row(section=SECTION, name=f"{way}: latency, 1 client", unit="ms", values=tuple(latency[way])))
    for way in ways:
        name = f"{way}: {_MANY} clients"
        run.add(Row(section=SECTION, name=name, unit="tps", values=tuple(tps[way]), more_is_better=True))


def _from_here(uri: str) -> Select:
    return lambda clients, seconds: pgbench.select_only(uri, clients=clients, seconds=seconds)


def _inside(cluster: Product) -> Select:
    primary = cluster.state.status.primary
    assert primary is not None
    password = derive_password(cluster.key, cluster.state.spec.id, DEFAULT_USER)
    uri = f"postgresql://{DEFAULT_USER}:{password}@/{DEFAULT_DATABASE}?host=/run/postgresql"
    prefix = ["docker", "exec", primary.container, "pgbench"]
    return lambda clients, seconds: pgbench.run_select_only(prefix, uri, clients=clients, seconds=seconds)


@asynccontextmanager
async def _haproxy(run: Run, cluster: Product) -> AsyncGenerator[str | None]:
    """Lend a connection string through an HAProxy in front of the direct endpoint, if this machine has one."""
    binary = shutil.which("haproxy")
    if binary is None:
        run.remark("No HAProxy beside it: this machine has none installed.")
        yield None
        return
    port, behind = run.workspace.free_port(), urlsplit(cluster.uri(EndpointKind.DIRECT))
    config = run.workspace.home / "haproxy.cfg"
    config.write_text(
        "defaults\n  mode tcp\n  timeout connect 3s\n  timeout client 1h\n  timeout server 1h\n"
        f"listen direct\n  bind 127.0.0.1:{port}\n  server node {behind.hostname}:{behind.port}\n"
    )
    process = await asyncio.create_subprocess_exec(binary, "-f", str(config), "-db")
    try:
        await await_port(port)
        yield behind._replace(netloc=behind.netloc.rpartition(":")[0] + f":{port}").geturl()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)
