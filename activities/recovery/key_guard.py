"""Keeping a worker away from clusters that have another master key than it has.

To such a worker no node lets a probe in, and a node that answers to nobody would be taken for lost. So nothing of the
cluster is touched until the right key is back, or the cluster was adopted with this one.

Which key a node has is on its container's label. A label cannot be changed, so what an adoption gave the node instead
is in a file on its volume, which names the container that it is about: one that is made again has a label of its own.
"""

import asyncio
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, File
from activities.engine.labels import read_state
from activities.heartbeat import WATCH_INTERVAL_S, while_worker_runs
from activities.nodes.files import CONF_DIR
from model import effects
from model.base import Record
from model.cluster import WRONG_MASTER_KEY
from model.effects import Alarm, AlarmKind, WatchInput, cluster_of
from model.errors import WrongMasterKey
from model.names import NODES, node_container
from model.operations import AdoptClusterRequest, DestroyClusterRequest
from model.secrets import key_id

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
"""How often it is looked whether a cluster that had another key has been given this one."""
KEY_FILE = f"{CONF_DIR}/key-id"

_WITHOUT_KEY = frozenset(
    each.name
    for each in (
        effects.COMMIT_FACTS,
        effects.NOTE_BACKUP,
        effects.NOTE_DRILL,
        effects.READ_CLUSTER,
        effects.ENSURE_ACCESS,
        effects.REMOVE_CLUSTER,
        effects.REMOVE_REPOSITORY,
        effects.REMOVE_STORED,
        effects.REMOVE_SCHEDULES,
    )
)
"""Effects that are about another key, or need none: what was done is recorded, what is there is read or removed."""
_ALLOWED = frozenset({AdoptClusterRequest.operation, DestroyClusterRequest.operation})
"""Operations that may have the turn all the same."""


class ClusterKeys:
    """Tells of the clusters on this host whether they have this master key."""

    def __init__(self, docker: DockerEngine, master_key: bytes) -> None:
        """Look through *docker* for nodes with another key than *master_key*."""
        self._docker = docker
        self._key_id = key_id(master_key)
        self._fitting: set[str] = set()

    async def mismatch(self, cluster_id: str) -> WrongMasterKey | None:
        """Return the error of a cluster with another key; None, and without a further look, once it has this one.

        A node whose label does not tell is taken to have this one. Raises :class:`StackDown`.
        """
        if cluster_id in self._fitting:
            return None
        for name in NODES:
            found = await self._docker.inspect(node_container(cluster_id, name))
            if found is not None and (wanted := await self._key_of(found)) not in {None, self._key_id}:
                label = read_state(found.labels)
                return _wrong(label.cluster_name if label else cluster_id, wanted, self._key_id)
        self._fitting.add(cluster_id)
        return None

    async def give(self, cluster_id: str) -> None:
        """Record that the nodes that there are have this key now."""
        for name in NODES:
            found = await self._docker.inspect(node_container(cluster_id, name))
            if found is not None:
                file = File.private(f"{found.id} {self._key_id}\n")
                await self._docker.put_files(found.name, {KEY_FILE: file})

    async def _key_of(self, found: ContainerInfo) -> str | None:
        given = (await self._docker.get_file(found.name, KEY_FILE) or b"").decode(errors="replace").split()
        if len(given) == 2 and given[0] == found.id:
            return given[1]
        label = read_state(found.labels)
        return label and label.key_id


def _wrong(cluster: str, wanted: str | None, ours: str) -> WrongMasterKey:
    return WrongMasterKey(
        f"Cluster {cluster} has the master key with id {wanted} and this stack another one ({ours}), so nothing of the "
        "cluster is touched and nobody watches it.",
        remedy=f"Put the master.key with id {wanted} back and restart the stack. Only if it is lost for good: "
        f"mpg adopt {cluster} --new-key.",
    )


class GuardedActivities(Interceptor):
    """Has no activity touch a cluster that has another key."""

    def __init__(self, keys: ClusterKeys) -> None:
        """Ask *keys*."""
        self._keys = keys

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Look before what comes *next*."""
        return _Guarded(next, self._keys)


class _Guarded(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, keys: ClusterKeys) -> None:
        super().__init__(following)
        self._keys = keys

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        arg = input.args[0] if input.args else None
        if isinstance(arg, WatchInput):
            alarm = await while_worker_runs(self._to_tell(arg), WATCH_INTERVAL_S)
            return await super().execute_activity(input) if alarm is None else alarm
        cluster_id = cluster_of(arg) if isinstance(arg, Record) else None
        if cluster_id is not None and not _is_allowed(activity.info()):
            wrong = await self._keys.mismatch(cluster_id)
            if wrong is not None:
                raise wrong
        return await super().execute_activity(input)

    async def _to_tell(self, arg: WatchInput) -> Alarm | None:
        """Return what is to be recorded of the cluster's key, once it differs from what is; None: watch the cluster."""
        recorded = next((each.message for each in arg.status.conditions if each.type == WRONG_MASTER_KEY), "")
        wrong = await self._keys.mismatch(arg.cluster_id)
        while wrong is not None and str(wrong) == recorded:
            await asyncio.sleep(LOOK_EVERY_S)
            wrong = await self._keys.mismatch(arg.cluster_id)
        told = "" if wrong is None else str(wrong)
        if told == recorded:
            return None
        log.warning("the master key of a cluster", cluster=arg.cluster_id, told=told or "it is the right one again")
        return Alarm(kind=AlarmKind.MASTER_KEY, name="master key", how=told)


def _is_allowed(info: activity.Info) -> bool:
    taking_turn = info.activity_type == effects.TAKE_TURN.name and info.workflow_type in _ALLOWED
    return taking_turn or info.activity_type in _WITHOUT_KEY
