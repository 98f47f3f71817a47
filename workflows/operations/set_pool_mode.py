"""SetPoolMode: new poolers beside the old; no session is dropped. The old ones drain after the operation's end."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Pooler, PoolerPhase, PoolMode
    from model.facts import PoolersAre, PoolModeIs
    from model.operations import OperationResult, SetPoolModeRequest
    from model.poolers import next_generation, plan_generation
    from workflows.nodes import Nodes
    from workflows.operation import Done, Operation


@workflow.defn
class SetPoolMode(Operation):
    """Give new pooled connections another pool mode."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: SetPoolModeRequest) -> OperationResult:
        """Start a generation in the new mode, then route new connections to it; each undone by its contrary."""

        async def steps() -> Done:
            spec, mode = self.state.spec, request.pool_mode
            if mode is spec.pool_mode:
                return Done(f"Cluster {spec.name} pools by {mode} already.", changed=False)
            old = self.state.status.poolers
            new = await self._start_poolers(mode, old)
            await self.do(
                "route new connections to the new poolers",
                lambda: self._route(new),
                undo=lambda: self._route(self.state.status.current_poolers),
            )
            drained = tuple(_draining(pooler) for pooler in old)
            await self.conclude(PoolersAre(poolers=(*drained, *new)), PoolModeIs(pool_mode=mode))
            return Done(f"New connections to cluster {spec.name} are pooled by {mode}; open sessions stay as they are.")

        return await self.operate(request, steps)

    async def _start_poolers(self, mode: PoolMode, living: tuple[Pooler, ...]) -> tuple[Pooler, ...]:
        spec, endpoint = self.state.spec, self.state.status.endpoint
        assert endpoint is not None, "a cluster that takes operations has its endpoint"
        generation = next_generation(living)
        planned = effects.RemovePoolersInput(
            cluster_id=spec.id, poolers=plan_generation(spec.id, generation, mode, living, spec.tls)
        )
        made = await self.step(
            f"start poolers in {mode} mode",
            effects.CREATE_POOLERS,
            effects.CreatePoolersInput(
                cluster_id=spec.id,
                cluster_name=spec.name,
                endpoint=endpoint,
                image=spec.image,
                generation=generation,
                pool_mode=mode,
                plan=spec.plan,
                primary_address=self.primary.address,
                living=living,
                tls=spec.tls,
            ),
            undo=lambda: self.effect(effects.REMOVE_POOLERS, planned, "remove the new poolers"),
        )
        return made.poolers

    async def _route(self, poolers: tuple[Pooler, ...]) -> None:
        await self._nodes.route(read_only=self.state.status.replica or self.primary_node, poolers=poolers)


def _draining(pooler: Pooler) -> Pooler:
    if pooler.phase is PoolerPhase.DRAINING:
        return pooler
    return pooler.model_copy(update={"phase": PoolerPhase.DRAINING, "draining_since": workflow.now()})
