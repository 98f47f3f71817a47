"""RotatePassword: the next version of the derived password; open sessions stay, or are ended with it."""

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
        self._kill = request.kill_sessions

        async def steps() -> Done:
            old = self.state.spec.user(request.username)
            assert old is not None, "checked with the turn"
            version = self.state.spec.next_password_version(old.name)
            new = old.model_copy(update={"password_version": version})
            if old.password_known:
                await self._set(
                    new, lambda: self.effect(effects.SET_PASSWORD, self._input(old), "set the old password again")
                )
            else:
                # Nobody could set the old password again: once it is replaced there is only forward.
                await self.see_through(self._set(new))
            sessions = "its sessions were ended" if self._kill else "sessions that are open stay"
            return Done(f"User {new.name} has a new password; {sessions}.")

        return await self.operate(request, steps)

    async def _set(self, new: User, undo: Undo | None = None) -> None:
        arg = self._input(new, new_password=True)
        password = await self.step("set the new password", effects.SET_PASSWORD, arg, undo=undo)
        await self.conclude(UserIs(user=password.of(new)))

    def _input(self, user: User, *, new_password: bool = False) -> effects.UserInput:
        return effects.UserInput(
            target=self.primary,
            user=user,
            connection_limit=connection_limit(self.state.spec.plan),
            new_password=new_password,
            end_sessions=new_password and self._kill,
        )
