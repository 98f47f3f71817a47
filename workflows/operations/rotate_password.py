"""RotatePassword: the next version of the derived password; open sessions stay."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import User
    from model.facts import UserIs
    from model.operations import OperationResult, RotatePasswordRequest
    from model.tuning import connection_limit
    from workflows.operation import Done, Operation
    from workflows.saga import Undo


@workflow.defn
class RotatePassword(Operation):
    """Give a user a new password."""

    @workflow.run
    async def run(self, request: RotatePasswordRequest) -> OperationResult:
        """Set the next password; undone by setting the one before."""

        async def steps() -> Done:
            old = self.state.spec.user(request.username)
            assert old is not None, "checked with the turn"
            new = old.model_copy(update={"password_version": old.password_version + 1})
            if old.password_known:
                await self._set(
                    new, lambda: self.effect(effects.SET_PASSWORD, self._input(old), "set the old password again")
                )
            else:
                # Nobody could set the old password again: once it is replaced there is only forward.
                await self.see_through(self._set(new))
            return Done(f"User {new.name} has a new password; sessions that are open stay.")

        return await self.operate(request, steps)

    async def _set(self, new: User, undo: Undo | None = None) -> None:
        await self.step("set the new password", effects.SET_PASSWORD, self._input(new), undo=undo)
        await self.conclude(UserIs(user=new))

    def _input(self, user: User) -> effects.UserInput:
        return effects.UserInput(
            target=self.primary, user=user, connection_limit=connection_limit(self.state.spec.plan)
        )
