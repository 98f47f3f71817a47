"""Effects that find clusters which no workflow knows, and rebuild the state of one from its containers."""

import asyncio
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.recovery.container_discovery import ClusterSeen, clusters_on, read_parts
from activities.recovery.key_guard import ClusterKeys
from activities.recovery.platform_access import PlatformAccessActivities, does_not_fit
from model import effects
from model.adoption import (
    AdoptionReading,
    FindClustersInput,
    FoundCluster,
    FoundClusters,
    KeyFit,
    ReadClusterInput,
)
from model.cluster import ClusterView
from model.errors import MpgError, Refused
from model.names import cluster_workflow_id
from model.plans import load_plans
from model.rebuilding import rebuild
from model.secrets import key_id
from model.settings import Settings

AT_ONCE = 8
"""Clusters that are looked at side by side."""


class AdoptionActivities:
    """The effects ``find_clusters`` and ``read_cluster``. Neither changes anything."""

    def __init__(
        self,
        docker: DockerEngine,
        client: Client,
        access: PlatformAccessActivities,
        settings: Settings,
        master_key: bytes,
        keys: ClusterKeys,
    ) -> None:
        """Look through *docker*, *access* and *keys*, ask *client* what is known; plans come from *settings*."""
        self._keys = keys
        self._key_id = key_id(master_key)
        self._docker = docker
        self._client = client
        self._access = access
        self._settings = settings

    @activity.defn(name=effects.FIND_CLUSTERS.name)
    async def find_clusters(self, arg: FindClustersInput) -> FoundClusters:
        """Return the clusters of which this host has containers. Raises :class:`StackDown`."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(seen: ClusterSeen) -> FoundCluster:
            async with gate:
                known = await self._status(seen.id) is WorkflowExecutionStatus.RUNNING
                found = FoundCluster(id=seen.id, name=seen.name, org=seen.org, known=known)
                return await self._look(found) if arg.read and not known else found

        async with heartbeating():
            seen = await clusters_on(self._docker)
            return FoundClusters(clusters=tuple(await asyncio.gather(*(one(each) for each in seen))))

    @activity.defn(name=effects.READ_CLUSTER.name)
    async def read_cluster(self, arg: ReadClusterInput) -> AdoptionReading:
        """Return the cluster's state as its containers tell it; the recorded one where a workflow has it.

        Raises:
            NotFound: this host has no container of it.
            Refused: it is not whole, or was destroyed on record.
            NeedsOperator: no node can be the primary, or more than one.
            InvalidInput: its plan is not known.
        """
        async with heartbeating():
            match await self._status(arg.cluster_id):
                case WorkflowExecutionStatus.RUNNING:
                    cluster = self._client.get_workflow_handle(cluster_workflow_id(arg.cluster_id))
                    view = await cluster.query("view", result_type=ClusterView)
                    other = await self._keys.mismatch(arg.cluster_id) is not None
                    return AdoptionReading(state=view.state, known=True, other_key=other, stack_key=self._key_id)
                case WorkflowExecutionStatus.COMPLETED:
                    raise Refused(
                        f"Cluster {arg.cluster_id} was destroyed on record; some of its containers are still there.",
                        remedy=f"Remove what carries the label mpg.cluster={arg.cluster_id}.",
                    )
                case _:
                    return await self._read(arg)

    async def _read(self, arg: ReadClusterInput) -> AdoptionReading:
        host, region = self._settings.host_name, self._settings.region
        parts = await read_parts(self._docker, arg.cluster_id, host=host, region=region)
        plans = load_plans(self._settings.plans_file)
        return rebuild(parts, plans, name=arg.name, now=datetime.now(UTC), key_id=self._key_id)

    async def _look(self, found: FoundCluster) -> FoundCluster:
        """Say whether a cluster could be adopted, as its adoption would."""
        try:
            reading = await self.read_cluster(ReadClusterInput(cluster_id=found.id))
        except MpgError as error:
            return found.model_copy(update={"problem": str(error)})
        primary = reading.state.status.primary
        told = {
            "plan": reading.state.spec.plan.name,
            "primary": primary and primary.name,
            "notes": reading.notes,
        }
        try:
            key = await self._access.look(reading.state)
        except MpgError as error:
            return found.model_copy(update={**told, "key": KeyFit.FITS, "problem": str(error)})
        if key is KeyFit.UNKNOWN and reading.key_id == self._key_id:
            # Its nodes do not run: their labels tell.
            key = KeyFit.FITS
        problem = str(does_not_fit(reading.state)) if key is KeyFit.DOES_NOT_FIT else None
        return found.model_copy(update={**told, "key": key, "problem": problem})

    async def _status(self, cluster_id: str) -> WorkflowExecutionStatus | None:
        """How the cluster's workflow stands; None where there is none."""
        try:
            description = await self._client.get_workflow_handle(cluster_workflow_id(cluster_id)).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return description.status
