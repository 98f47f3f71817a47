"""A cluster that nobody changes: what it adds to Temporal's histories, and what its helpers weigh."""

import asyncio

from bench.memory import container_pids, cpu_s, pss_mb, rss_mb
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import say
from model.names import cluster_workflow_id, name_workflow_id
from model.settings import Settings
from starter.client.temporal import connect

SECTION = "idle"
_HOUR_S = 3600


async def measure(run: Run) -> None:
    """Leave a cluster alone for two minutes."""
    seconds = run.count(5, 120, 600)
    async with run.stack("idle") as (mpg, settings), run.cluster(mpg, "idle") as cluster:
        await asyncio.sleep(run.count(0, 10))  # what creation left to do is not idleness
        before, used = await _events(settings, cluster), cpu_s(await run.pids(settings, worker=True))
        say(f"idle: watching for {seconds} s")
        await asyncio.sleep(seconds)
        added = await _events(settings, cluster) - before
        used = cpu_s(await run.pids(settings, worker=True)) - used
        _add(run, "history events an hour", "events", added * _HOUR_S / seconds, f"{added} in {seconds} s", median=20)
        helpers = await _helpers(run, cluster)
        _add(run, "endpoint and poolers, PSS", "MB", sum(helpers.values()), _parts(helpers), median=60)
        _add(run, "worker, resident", "MB", rss_mb(await run.pids(settings, worker=True)))
        _add(run, "worker's CPU", "% of a core", used / seconds * 100)
        _add(run, "Temporal, resident", "MB", rss_mb(await run.pids(settings, worker=False)))


def _add(run: Run, name: str, unit: str, value: float, note: str = "", **limits: float) -> None:
    run.add(Row(section=SECTION, name=name, unit=unit, values=(value,), targets=at_most(**limits), note=note))


async def _events(settings: Settings, cluster: Product) -> int:
    """Length of the histories that belong to the cluster: its own workflow's and its name's."""
    client, spec = await connect(settings), cluster.state.spec
    ids = (cluster_workflow_id(spec.id), name_workflow_id(spec.org, spec.name))
    lengths = [(await client.get_workflow_handle(each).describe()).history_length for each in ids]
    return sum(lengths)


async def _helpers(run: Run, cluster: Product) -> dict[str, float]:
    status = cluster.state.status
    assert status.endpoint is not None
    containers = {"endpoint": status.endpoint.container} | {each.name: each.container for each in status.poolers}
    docker = run.workspace.docker
    return {name: pss_mb(container_pids(docker, container)) for name, container in containers.items()}


def _parts(megabytes: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in megabytes.items())
