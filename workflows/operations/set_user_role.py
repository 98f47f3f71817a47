"""SetUserRole: new rights from the next statement on; objects keep their owner."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import User
    from model.facts import UserIs
    from model.operations import OperationResult, SetUserRoleRequest
    from model.tuning import connection_limit
    from workflows.operation import Done, Operation


@workflow.defn
class SetUserRole(Operation):
    """Give a user another role."""

    @workflow.run
    async def run(self, request: SetUserRoleRequest) -> OperationResult:
        """Change the memberships; undone by giving back the old role."""

        async def steps() -> Done:
            old = self.state.spec.user(request.username)
            assert old is not None, "checked with the turn"
            if old.role is request.role:
                return Done(f"User {old.name} has role {old.role} already.", changed=False)
            new = old.model_copy(update={"role": request.role})
            await self.step(
                "change the role",
                effects.SET_USER_ROLE,
                self._input(new),
                undo=lambda: self.effect(effects.SET_USER_ROLE, self._input(old), f"give back role {old.role}"),
            )
            await self.conclude(UserIs(user=new))
            return Done(f"User {new.name} has role {new.role} now.")

        return await self.operate(request, steps)

    def _input(self, user: User) -> effects.UserInput:
        return effects.UserInput(
            target=self.primary, user=user, connection_limit=connection_limit(self.state.spec.plan)
        )
