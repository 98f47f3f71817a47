"""ChangePlan: other resources for the nodes, other limits for the poolers, with one switchover."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node
    from model.effects import HostCheck
    from model.facts import PlanIs
    from model.operations import ChangePlanRequest, OperationResult
    from model.plans import Plan
    from model.tuning import connection_limit
    from workflows.nodes import Nodes, resources_of
    from workflows.operation import Done, Operation


@workflow.defn
class ChangePlan(Operation):
    """Move a cluster to another plan."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: ChangePlanRequest) -> OperationResult:
        """The replica first; if it does not come up on the new plan, the primary was never touched."""

        async def steps() -> Done:
            name, old = self.state.spec.name, self.state.spec.plan
            off_plan = [node.name for node in self.state.status.nodes if node.plan != request.plan]
            if request.plan == old.name and not off_plan:
                return Done(f"Cluster {name} is on plan {old.name} already.", changed=False)
            room = await self._see_room(request.plan)
            primary, replica = self.primary_node, self.state.status.replica
            assert replica is not None, "checked with the turn"
            await self._rebuild_nodes(primary, replica, room, off_plan, request.max_pause_s)
            await self._set_limits(old, room.plan)
            await self.conclude(PlanIs(plan=room.plan))
            return Done(f"Cluster {name} is on plan {room.plan.name} now.")

        return await self.operate(request, steps)

    async def _rebuild_nodes(
        self, primary: Node, replica: Node, room: HostCheck, off_plan: list[str], max_pause_s: float
    ) -> None:
        """Rebuild the replica, switch over to it, rebuild the other; what is on the plan already is left alone."""
        rebuild = {node.name: f"rebuild {node.name} on plan {room.plan.name}" for node in (primary, replica)}
        switch = f"switch over to {replica.name}"
        self.plan(
            *([rebuild[replica.name]] if replica.name in off_plan else []),
            *([switch, rebuild[primary.name]] if primary.name in off_plan else []),
            "set the poolers' limits",
            "set the users' connection limits",
        )
        if replica.name in off_plan:
            await self.do(
                rebuild[replica.name],
                lambda: self._rebuild(replica, room, drain=True),
                undo=lambda: self._nodes.return_to_plan(replica, max_pause_s),
            )
        if primary.name in off_plan:
            await self.do(
                switch,
                lambda: self._nodes.switch_to(replica.name, max_pause_s),
                undo=lambda: self._return_to(primary, max_pause_s),
            )
            await self.do(rebuild[primary.name], lambda: self._rebuild(primary, room))

    async def _see_room(self, plan: str) -> HostCheck:
        spec = self.state.spec
        arg = effects.CheckHostInput(plan=plan, pg_major_version=spec.pg_major_version, image=spec.image)
        return await self.effect(effects.CHECK_HOST, arg, f"see that {self.host} has room for {plan}")

    async def _rebuild(self, node: Node, room: HostCheck, *, drain: bool = False) -> None:
        await self._nodes.rebuild_replica(node.name, room.plan.name, room.resources, new_plan=room.plan, drain=drain)

    async def _return_to(self, primary: Node, max_pause_s: float) -> None:
        """Make the node that was *primary* the primary again, on the plan that it had."""
        if self.primary_node.name != primary.name:
            await self._nodes.rebuild_replica(primary.name, primary.plan, resources_of(primary), drain=True)
        await self._nodes.switch_to(primary.name, max_pause_s)

    async def _set_limits(self, old: Plan, new: Plan) -> None:
        await self.do("set the poolers' limits", lambda: self._configure(new), undo=lambda: self._configure(old))
        await self.do(
            "set the users' connection limits", lambda: self._limit_users(new), undo=lambda: self._limit_users(old)
        )

    async def _configure(self, plan: Plan) -> None:
        status = self.state.status
        assert status.endpoint is not None
        arg = effects.ConfigurePoolersInput(
            cluster_id=self.state.spec.id,
            endpoint=status.endpoint,
            poolers=status.poolers,
            plan=plan,
            primary_address=self.primary_node.address,
        )
        await self.effect(effects.CONFIGURE_POOLERS, arg, f"give the poolers the limits of plan {plan.name}")

    async def _limit_users(self, plan: Plan) -> None:
        arg = effects.SetConnectionLimitsInput(
            target=self.primary,
            usernames=tuple(user.name for user in self.state.spec.users),
            connection_limit=connection_limit(plan),
        )
        await self.effect(effects.SET_CONNECTION_LIMITS, arg, f"give the users the limits of plan {plan.name}")
