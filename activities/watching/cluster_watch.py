"""Watching a cluster: one long-running activity each, which returns when something needs a decision.

A node that is stopped on purpose is no alarm: before the watch speaks it asks the cluster's workflow, which knows.
"""

import asyncio
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.engine.disk_promises import DiskPromises
from activities.engine.docker_events import DockerEvents
from activities.heartbeat import WATCH_INTERVAL_S, while_worker_runs
from activities.metrics.cluster_metrics import ClusterMetrics, MetricSources
from activities.nodes.storage import ClusterStorage
from activities.routing.health import broken_way_in, paused_poolers
from activities.routing.pooler_pause import open_pause
from activities.takeover.handover import Clients
from activities.watching.backup_watch import BackupBounds, BackupWatch, BeginBackup, ForgetEnded, ReadArchiving
from activities.watching.certificate_watch import CertificateWatch
from activities.watching.node_watch import NodeWatch
from activities.watching.refused_watch import RefusedWatch
from activities.watching.storage_watch import StorageWatch
from activities.watching.sync_watch import SyncWatch
from model import effects
from model.acknowledgement import OVERDUE_S
from model.authority import Authority
from model.cluster import OVER, ClusterView, Durability, Node
from model.effects import Alarm, AlarmKind, WatchInput
from model.names import cluster_workflow_id

log = structlog.get_logger()

ASK_EVERY_S = 0.25
ASK_AT_LEAST_EVERY_S = 2.0
"""How often it is asked whether an absence is still planned: less and less often where it lasts."""
SENT_S = 0.005
"""For a PAUSE to be on its way: nobody waits for the answer."""
HOLD_BOUND_S = 0.5
"""For the poolers to be reached: where they were lost too there is nobody to hold, and the alarm must not wait."""
TOGETHER_S = 0.25
"""How long the loss of a replica waits for that of the primary: lost together, the primary comes first."""
WAY_IN_PATIENCE_S = 1.0
"""How long Docker's own restart of an endpoint or a pooler may take before it is looked at."""
LOOKS = 2
"""A pooler that is paused may be about to be resumed; one that still is at the next look was left so."""


class WatchActivities:
    """The effect ``watch_cluster``."""

    def __init__(
        self,
        clients: Clients,
        events: DockerEvents,
        promises: DiskPromises,
        bounds: BackupBounds,
        authority: Authority,
        metrics: MetricSources,
        *,
        read_archiving: ReadArchiving,
        begin_backup: BeginBackup,
        forget_ended: ForgetEnded,
    ) -> None:
        """Watch through *clients* and *events*, and archiving by *read_archiving*; *bounds* say what is too old.

        *promises* is told what clusters use of the disk, *metrics* is where their figures go. A cluster without a
        backup gets one by *begin_backup*; *forget_ended* takes backups and drills off its record that ended without a
        word.
        """
        self._docker = clients.docker
        self._authority = authority
        self._metrics = metrics
        self._sql = clients.sql
        self._client = clients.temporal
        self._master_key = clients.master_key
        self._events = events
        self._read_archiving = read_archiving
        self._begin_backup = begin_backup
        self._forget_ended = forget_ended
        self._bounds = bounds
        self._promises = promises

    @activity.defn(name=effects.WATCH_CLUSTER.name)
    async def watch_cluster(self, arg: WatchInput) -> Alarm:
        """Return the first thing that was lost and not meant to be."""
        return await while_worker_runs(self._first_alarm(arg), WATCH_INTERVAL_S)

    async def _first_alarm(self, arg: WatchInput) -> Alarm:
        sync = SyncWatch()
        tasks = [asyncio.create_task(self._node(arg, node, sync)) for node in arg.status.nodes]
        tasks.append(asyncio.create_task(self._way_in(arg)))
        tasks.append(asyncio.create_task(self._acknowledgements(arg, sync)))
        backups = BackupWatch(
            arg,
            sync,
            lambda: self._view(arg.cluster_id),
            self._bounds,
            read=self._read_archiving,
            begin=self._begin_backup,
            forget=self._forget_ended,
        )
        tasks.append(asyncio.create_task(backups.until_archiving_changes()))
        tasks.append(asyncio.create_task(backups.until_age_changes()))
        metrics = ClusterMetrics(self._metrics, arg)
        counting = asyncio.create_task(metrics.run())  # its end, whatever the reason, is no alarm
        storage = StorageWatch(
            ClusterStorage(self._sql, arg.cluster_id, arg.status.nodes),
            self._client,
            self._promises,
            arg,
            lambda: self._view(arg.cluster_id),
            metrics.note_storage,
        )
        tasks.append(asyncio.create_task(storage.run()))
        certificates = CertificateWatch(self._docker, self._authority, lambda: self._view(arg.cluster_id))
        tasks.append(asyncio.create_task(certificates.run()))
        refused = RefusedWatch(self._docker, lambda: self._view(arg.cluster_id))
        tasks.append(asyncio.create_task(refused.run()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            running: list[asyncio.Task[Any]] = [*tasks, counting]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _node(self, arg: WatchInput, node: Node, sync: SyncWatch) -> Alarm:
        watch = NodeWatch(self._docker, self._sql, node, arg.cluster_id, sync)
        while True:
            lost = await watch.until_lost()
            if not await self._planned(arg.cluster_id, node.name):
                log.warning("a node is lost", cluster=arg.cluster_id, node=node.name, how=lost.how)
                if not await self._hold_clients(arg.cluster_id, node.name):
                    await asyncio.sleep(TOGETHER_S)
                return Alarm(kind=AlarmKind.NODE, name=node.name, how=lost.how)
            back = asyncio.create_task(watch.until_back())
            pause = ASK_EVERY_S
            try:
                while not back.done() and await self._planned(arg.cluster_id, node.name):
                    await asyncio.wait([back], timeout=pause)
                    pause = min(1.2 * pause, ASK_AT_LEAST_EVERY_S)
            finally:
                back.cancel()

    async def _acknowledgements(self, arg: WatchInput, sync: SyncWatch) -> Alarm:
        """Return when commits wait in vain for a replica on record as in sync: it may run, and answer."""
        while True:
            name = await sync.until_overdue()
            if name is not None and await self._in_sync(arg.cluster_id, name):
                log.warning("a replica does not acknowledge", cluster=arg.cluster_id, node=name)
                how = f"it has acknowledged nothing for {OVERDUE_S:g} s"
                return Alarm(kind=AlarmKind.NODE, name=name, how=how)
            await asyncio.sleep(ASK_EVERY_S)

    async def _in_sync(self, cluster_id: str, name: str) -> bool:
        """Tell whether commits have to wait for this node now, which is neither stopped on purpose nor told of."""
        view = await self._view(cluster_id)
        if view is None or view.state.spec.durability is not Durability.SYNC:
            return False
        replica = view.state.status.replica
        absent = name in view.state.status.absences
        return replica is not None and replica.name == name and replica.in_sync and not absent

    async def _hold_clients(self, cluster_id: str, lost: str) -> bool:
        """Where the primary is lost, make clients wait from now on rather than fail. What heals lets them go on.

        Tell whether it is the primary.
        """
        view = await self._view(cluster_id)
        status = view and view.state.status
        if not status or not status.endpoint or not status.primary or status.primary.name != lost:
            return False
        try:
            async with (
                asyncio.timeout(HOLD_BOUND_S),
                open_pause(cluster_id, status.endpoint, status.poolers, self._master_key) as pause,
            ):
                await pause.begin(0)
                await asyncio.sleep(SENT_S)
                await pause.leave()
        except TimeoutError:
            log.warning("clients could not be held", cluster=cluster_id)
        return True

    async def _planned(self, cluster_id: str, name: str) -> bool:
        """Tell whether this node or pooler is away on purpose now, or told of already."""
        view = await self._view(cluster_id)
        return view is None or name in view.state.status.absences

    async def _view(self, cluster_id: str) -> ClusterView | None:
        """Return the cluster as it stands. None: who cannot ask must not cry wolf; nobody could act on it either."""
        cluster = self._client.get_workflow_handle(cluster_workflow_id(cluster_id))
        try:
            view = await cluster.query("view", result_type=ClusterView)
        except (RPCError, WorkflowQueryFailedError) as error:
            log.warning("could not ask what is planned", cluster=cluster_id, error=str(error))
            return None
        if view.state.status.phase in OVER or view.run_id not in ("", activity.info().workflow_run_id):
            # Whoever started this is gone, and it is ended soon (activities/watching/watch_ownership.py). A successor
            # has its own watch.
            await asyncio.Event().wait()
        return view

    async def _way_in(self, arg: WatchInput) -> Alarm:
        """Return when the endpoint or a pooler ended, and Docker's restart of it has left something to mend."""
        async with self._events.of_cluster(arg.cluster_id) as events:
            while True:
                await events.get()
                await asyncio.sleep(WAY_IN_PATIENCE_S)
                while not events.empty():
                    events.get_nowait()
                while (broken := await self._broken(arg.cluster_id)) is not None:
                    if not await self._planned(arg.cluster_id, broken.name):
                        return broken
                    await asyncio.sleep(ASK_AT_LEAST_EVERY_S)

    async def _broken(self, cluster_id: str) -> Alarm | None:
        """Look at the endpoint and poolers on record; while clients are held, or a cluster settles, after that."""
        view = await self._view(cluster_id)
        while view is None or _primary_is_away(view):
            await asyncio.sleep(ASK_EVERY_S)
            view = await self._view(cluster_id)
        endpoint = view.state.status.endpoint
        if endpoint is None:
            return None
        broken = await broken_way_in(self._docker, endpoint, view.state.status.poolers)
        return broken or await self._left_paused(cluster_id, view)

    async def _left_paused(self, cluster_id: str, view: ClusterView | None) -> Alarm | None:
        """Return an alarm for a pooler that holds its clients though nobody is at work: who paused it has died."""
        paused: list[str] = []
        for _ in range(LOOKS):
            endpoint = view and view.state.status.endpoint
            if view is None or view.operation is not None or _primary_is_away(view) or endpoint is None:
                return None
            paused = await paused_poolers(cluster_id, endpoint, view.state.status.poolers, self._master_key)
            if not paused:
                return None
            await asyncio.sleep(ASK_AT_LEAST_EVERY_S)
            view = await self._view(cluster_id)
        return Alarm(kind=AlarmKind.WAY_IN, name=paused[0], how="it was left paused")


def _primary_is_away(view: ClusterView) -> bool:
    """Tell whether the primary changes or comes back just now: who does that has the poolers in hand."""
    status = view.state.status
    return status.primary is None or status.primary.name in status.absences
