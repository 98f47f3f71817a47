"""SetAllowList: from which networks clients may come. No session that is open is cut."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.allow_list import changed
    from model.facts import AllowListIs
    from model.operations import OperationResult, SetAllowListRequest
    from workflows.operation import Done, Operation


@workflow.defn
class SetAllowList(Operation):
    """Say from which networks new connections may come."""

    @workflow.run
    async def run(self, request: SetAllowListRequest) -> OperationResult:
        """Put the list in force at the endpoint; undone by putting the former one in force."""

        async def steps() -> Done:
            spec = self.state.spec
            old = spec.allow_list
            new = changed(old, request.add, request.remove, clear=request.clear)
            # Also where nothing changes: who looks after the endpoint may have changed it.
            await self.step(
                "change the allow list",
                effects.SET_ALLOW_LIST,
                self._arg(new),
                undo=lambda: self.effect(effects.SET_ALLOW_LIST, self._arg(old), "put the former list back"),
            )
            if new == old:
                self.keep()
                return Done(f"Cluster {spec.name} has that list already.", changed=False)
            await self.conclude(AllowListIs(networks=new))
            who = f"from {', '.join(new)} only" if new else "from everywhere"
            return Done(f"Cluster {spec.name} takes new connections {who}; open ones stay.")

        return await self.operate(request, steps)

    def _arg(self, networks: tuple[str, ...]) -> effects.SetAllowListInput:
        spec, status = self.state.spec, self.state.status
        assert status.endpoint is not None, "a cluster that takes operations has its endpoint"
        assert status.network is not None, "and its network"
        return effects.SetAllowListInput(
            cluster_id=spec.id, endpoint=status.endpoint, network=status.network, networks=networks
        )
