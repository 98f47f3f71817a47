"""DeleteUser: what the user owns becomes its group's. What is dropped cannot be brought back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.facts import UserGone
    from model.operations import DeleteUserRequest, OperationResult
    from workflows.operation import Done, Operation


@workflow.defn
class DeleteUser(Operation):
    """Remove a user."""

    @workflow.run
    async def run(self, request: DeleteUserRequest) -> OperationResult:
        """Drop the role, in every database. Repeating it finishes what a lost try began."""

        async def drop() -> None:
            user = self.state.spec.user(request.username)
            assert user is not None, "checked with the turn"
            await self.step(
                "drop the role",
                effects.DROP_USER,
                effects.DropUserInput(
                    target=self.primary,
                    username=user.name,
                    role=user.role,
                    password_version=self.state.spec.next_password_version(user.name) - 1,
                ),
            )
            await self.conclude(UserGone(name=user.name))

        async def steps() -> Done:
            # Rights that were granted to it by name can't be put back: from here on a cancellation is too late.
            await self.see_through(drop())
            return Done(f"User {request.username} was deleted.")

        return await self.operate(request, steps)
