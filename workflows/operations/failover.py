"""Failover: the primary is lost. The replica takes over if it holds every acknowledged commit; else it waits for it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.effects import NodeRef
    from model.errors import MpgError, NeedsOperator, ReplicaBehind
    from model.facts import AbsencesPlanned, InSync
    from model.healing import may_promote
    from model.operations import FailoverRequest, OperationResult
    from workflows.nodes import SETTLED_CATCH_UP_S, bring_in_sync
    from workflows.operation import Done, Operation, given
    from workflows.operations.takeover import Takeover


@workflow.defn
class Failover(Operation):
    """Started by the cluster itself, with the turn."""

    def __init__(self) -> None:
        """Begin with a replica that was not asked yet."""
        super().__init__()
        self._takeover = Takeover(self)
        self._silent = False

    @workflow.run
    async def run(self, request: FailoverRequest) -> OperationResult:
        """Promote the replica and rebuild the lost node; or start the lost node again in place."""

        async def steps() -> Done:
            if may_promote(self.state) and await self._promoted(request.lost):
                old = self.state.status.node(request.lost)
                assert old is not None
                served = f"Node {self.primary_node.name} is the primary of cluster {self.state.spec.name} now"
                return Done(f"{served}; {await self._takeover.rebuild(old)}")
            return await self._restart_in_place(request.lost)

        return await self.operate(request, steps, given(request.state))

    async def _promoted(self, lost: str) -> bool:
        """Promote the replica; return False, with nothing changed, when it does not answer either."""
        replica = self.state.status.replica
        assert replica is not None
        self.plan(f"fence {lost} and promote {replica.name}", f"bring {lost} back as a replica")
        try:
            await self.do(
                f"fence {lost} and promote {replica.name}", lambda: self.finish(self._takeover.promote(replica.name))
            )
        except ReplicaBehind:
            workflow.logger.warning("the replica does not answer either", extra={"replica": replica.name})
            self._silent = True
            return False
        return True

    async def _restart_in_place(self, lost: str) -> Done:
        """Start the lost primary on its volume: nobody else is known to hold every acknowledged commit."""
        spec = self.state.spec
        replica = self.state.status.replica
        if replica is not None and replica.in_sync:
            await self.commit(InSync(name=replica.name, value=False))
        await self.commit(AbsencesPlanned(names=tuple(node.name for node in self.state.status.nodes)))
        await self.step(f"see that {lost} has ended", effects.FENCE_NODE, NodeRef(cluster_id=spec.id, name=lost))
        if replica is not None and self._silent:
            # It may have been promoted unseen. Ended, its data tells: then nobody starts a second primary.
            key = NodeRef(cluster_id=spec.id, name=replica.name)
            await self.step(f"see that {replica.name} has ended", effects.FENCE_NODE, key)
        try:
            seen = await self.step(
                f"start {lost} in place", effects.SETTLE_CLUSTER, effects.SettleInput(state=self.state)
            )
        except MpgError as error:
            raise NeedsOperator(
                f"Primary {lost} is lost and its replica is not known to hold every acknowledged commit: {error}"
            ) from error
        # From here on both are missed when they go.
        await self.commit(*seen.facts, AbsencesPlanned())
        await self._wait_for_replica()
        return Done(f"Node {lost} of cluster {spec.name} was started again and is the primary as before.")

    async def _wait_for_replica(self) -> None:
        """Have commits wait for the replica again, if it is there; if not, the watch sees to it."""
        try:
            await self.commit(*await bring_in_sync(self.effect, self.state, SETTLED_CATCH_UP_S))
        except MpgError as error:
            workflow.logger.warning("the replica is not in sync yet", extra={"error": str(error)})
