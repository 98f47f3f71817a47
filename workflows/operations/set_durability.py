"""SetDurability: whether commits wait for the replica. No session is cut, nothing is restarted."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import ClusterState, Durability, Node
    from model.effects import SetSynchronousInput
    from model.errors import NeedsOperator
    from model.facts import DurabilityIs, InSync
    from model.operations import OperationResult, SetDurabilityRequest
    from workflows.nodes import SETTLED_CATCH_UP_S, bring_in_sync
    from workflows.operation import Done, Operation

NOTE = "note it at the endpoint"


@workflow.defn
class SetDurability(Operation):
    """Have commits wait for both nodes, or for the primary alone."""

    @workflow.run
    async def run(self, request: SetDurabilityRequest) -> OperationResult:
        """Change what commits wait for, and record it last; undone by having them wait for what they did before."""

        async def steps() -> Done:
            spec = self.state.spec
            if spec.durability is request.durability:
                return Done(f"Cluster {spec.name} is {spec.durability} already.", changed=False)
            if request.durability is Durability.SYNC:
                return await self._wait_for_both()
            return await self._wait_for_one()

        return await self.operate(request, steps)

    async def _wait_for_both(self) -> Done:
        """The replica is in sync before that is on record: a failover relies on the record alone.

        The note comes first: once commits wait for the replica nobody but this operation watches over it.
        """
        spec, replica = self.state.spec, self._replica()
        as_sync = ClusterState(spec=spec.model_copy(update={"durability": Durability.SYNC}), status=self.state.status)
        await self._note(Durability.SYNC)
        facts = await self.do(
            f"bring {replica.name} in sync",
            lambda: bring_in_sync(self.effect, as_sync, SETTLED_CATCH_UP_S),
            undo=self._release,
        )
        await self.conclude(*facts, DurabilityIs(durability=Durability.SYNC))
        return Done(f"Cluster {spec.name} is sync: commits wait for {replica.name} as well.")

    async def _wait_for_one(self) -> Done:
        """That the replica is not in sync is on record before it is so."""
        spec, replica = self.state.spec, self._replica()

        async def release() -> None:
            await self.commit(InSync(name=replica.name, value=False))
            await self._release()

        await self.do(f"let no commit wait for {replica.name}", release, undo=self._wait_again)
        await self._note(Durability.ASYNC)
        await self.conclude(DurabilityIs(durability=Durability.ASYNC))
        return Done(f"Cluster {spec.name} is async: commits wait for the primary alone.")

    async def _wait_again(self) -> None:
        await self.commit(*await bring_in_sync(self.effect, self.state, SETTLED_CATCH_UP_S))

    async def _release(self) -> None:
        arg = SetSynchronousInput(target=self.primary, standby=None)
        await self.effect(effects.SET_SYNCHRONOUS, arg, "let commits wait for the primary alone")

    async def _note(self, durability: Durability) -> None:
        former = self._noted(self.state.spec.durability)

        async def put_back() -> None:
            await self.effect(effects.NOTE_DURABILITY, former, "note the former one")

        await self.step(NOTE, effects.NOTE_DURABILITY, self._noted(durability), undo=put_back)

    def _noted(self, durability: Durability) -> effects.NoteDurabilityInput:
        spec, endpoint = self.state.spec, self.state.status.endpoint
        assert endpoint is not None, "a cluster that takes operations has its endpoint"
        return effects.NoteDurabilityInput(cluster_id=spec.id, endpoint=endpoint, durability=durability)

    def _replica(self) -> Node:
        replica = self.state.status.replica
        if replica is None:
            raise NeedsOperator(f"Cluster {self.state.spec.name} has no replica on record.")
        return replica
