"""Effects that compare a cluster's record with reality, and put it back in service."""

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.fencing import OperationFences
from activities.heartbeat import heartbeating
from activities.nodes.repository_conf import RepositoryKeys
from activities.postgres.sql import SqlSessions
from activities.recovery.inspection import Survey
from activities.recovery.return_to_service import Settling
from activities.routing.health import mend_way_in
from activities.takeover_lock import TakeoverLocks
from model import effects
from model.authority import Authority
from model.effects import MendWayInInput, Nothing, Observation, ObserveInput, SettleInput


class RecoveryActivities:
    """Looks at clusters and settles them."""

    def __init__(
        self,
        docker: DockerEngine,
        sql: SqlSessions,
        keys: RepositoryKeys,
        fences: OperationFences,
        takeovers: TakeoverLocks,
        authority: Authority,
    ) -> None:
        """Work through *docker* and *sql*; passwords and the access to repositories come from *keys*."""
        self._authority = authority
        self._docker = docker
        self._sql = sql
        self._keys = keys
        self._fences = fences
        self._takeovers = takeovers

    @activity.defn(name=effects.OBSERVE_CLUSTER.name)
    async def observe_cluster(self, arg: ObserveInput) -> Observation:
        """Return the facts that correct the cluster's record. Changes nothing. Raises :class:`StackDown`."""
        async with heartbeating():
            return Observation(facts=await Survey(self._docker, self._sql, arg.state).facts())

    @activity.defn(name=effects.SETTLE_CLUSTER.name)
    async def settle_cluster(self, arg: SettleInput) -> Observation:
        """Put a cluster back in service: one primary, poolers that lead to it, rules, nothing that is not on record.

        Raises:
            NeedsOperator: that is not possible without promoting a node or choosing between two.
            NotYet: the primary or a pooler does not come up, or a takeover has not ended.
            Refused: the primary does not run, and is not to be started.
        """
        async with heartbeating():
            await self._fences.close_off(arg.state.spec.id, arg.ended)
            # An operation that settles closes nothing off, and one that yielded to it may not have left a takeover yet.
            async with self._takeovers.held(arg.state.spec.id):
                await Settling(self._docker, self._sql, self._keys, self._authority, arg).run()
            return Observation(facts=await Survey(self._docker, self._sql, arg.state).facts())

    @activity.defn(name=effects.MEND_WAY_IN.name)
    async def mend_way_in(self, arg: MendWayInInput) -> Nothing:
        """Start the endpoint and poolers that ended, whoever has the turn. Raises as the function does."""
        async with heartbeating():
            await mend_way_in(self._docker, arg.cluster_name, arg.endpoint, arg.poolers)
        return Nothing()
