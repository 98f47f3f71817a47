"""Watching a cluster: one long-running activity each, which returns when something needs a decision.

A node that is stopped on purpose is no alarm: before the watch speaks it asks the cluster's workflow, which knows.
"""

import asyncio
from contextlib import AsyncExitStack

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.docker_engine import DockerEngine
from activities.docker_events import DockerEvents
from activities.heartbeat import heartbeating
from activities.node_watch import NodeWatch
from activities.sql import SqlSessions
from model import effects
from model.cluster import Node, PoolerPhase
from model.effects import Alarm, AlarmKind, Target, WatchInput
from model.names import cluster_workflow_id

log = structlog.get_logger()

ASK_EVERY_S = 0.25
WAY_IN_PATIENCE_S = 1.0
"""How long Docker's own restart of an endpoint or a pooler may take before it is looked at."""


class WatchActivities:
    """The effect ``watch_cluster``."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, events: DockerEvents, client: Client) -> None:
        """Watch through *docker*, *sql* and *events*; *client* asks what is planned."""
        self._docker = docker
        self._sql = sql
        self._events = events
        self._client = client

    @activity.defn(name=effects.WATCH_CLUSTER.name)
    async def watch_cluster(self, arg: WatchInput) -> Alarm:
        """Return the first thing that was lost and not meant to be."""
        async with heartbeating(), AsyncExitStack() as stack:
            tasks = [asyncio.create_task(self._node(arg, node)) for node in arg.status.nodes]
            tasks.append(asyncio.create_task(self._way_in(arg)))

            async def stop() -> None:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            stack.push_async_callback(stop)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()

    async def _node(self, arg: WatchInput, node: Node) -> Alarm:
        target = Target(cluster_id=arg.cluster_id, address=node.address)
        watch = NodeWatch(self._docker, self._sql, node.name, node.container, target)
        while True:
            lost = await watch.until_lost()
            if not await self._planned(arg.cluster_id, node.name):
                log.warning("a node is lost", cluster=arg.cluster_id, node=node.name, how=lost.how)
                return Alarm(kind=AlarmKind.NODE, name=node.name, how=lost.how)
            back = asyncio.create_task(watch.until_back())
            try:
                while not back.done() and await self._planned(arg.cluster_id, node.name):
                    await asyncio.wait([back], timeout=ASK_EVERY_S)
            finally:
                back.cancel()

    async def _planned(self, cluster_id: str, node: str) -> bool:
        """Tell whether the holder of the turn stops and starts this node on purpose now."""
        try:
            planned: list[str] = await self._client.get_workflow_handle(cluster_workflow_id(cluster_id)).query(
                "planned_absences", result_type=list[str]
            )
        except RPCError as error:
            # Who cannot ask must not cry wolf: the alarm could not be acted on either.
            log.warning("could not ask what is planned", cluster=cluster_id, error=str(error))
            return True
        return node in planned

    async def _way_in(self, arg: WatchInput) -> Alarm:
        """Return when the endpoint or a current pooler ended and Docker's restart has left something to mend."""
        async with self._events.of_cluster(arg.cluster_id) as events:
            while True:
                await events.get()
                await asyncio.sleep(WAY_IN_PATIENCE_S)
                while not events.empty():
                    events.get_nowait()
                broken = await self._broken_way_in(arg)
                if broken is not None and not await self._planned(arg.cluster_id, "poolers"):
                    return broken

    async def _broken_way_in(self, arg: WatchInput) -> Alarm | None:
        endpoint = arg.status.endpoint
        if endpoint is None:
            return None
        found = await self._docker.inspect(endpoint.container)
        if found is None or not found.running or found.started_at is None:
            return Alarm(kind=AlarmKind.WAY_IN, name="endpoint", how="its container does not run")
        for pooler in arg.status.poolers:
            container = await self._docker.inspect(pooler.container)
            if container is None or not container.running:
                if pooler.phase is PoolerPhase.RUNNING:
                    return Alarm(kind=AlarmKind.WAY_IN, name=pooler.name, how="its container does not run")
            elif container.started_at is not None and container.started_at < found.started_at:
                return Alarm(kind=AlarmKind.WAY_IN, name=pooler.name, how="it is in the namespace of a former endpoint")
        return None
