"""CreateUser: a new user works at once, in every database; no pooler is reloaded."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import User
    from model.facts import UserIs
    from model.operations import CreateUserRequest, OperationResult
    from model.tuning import connection_limit
    from workflows.operation import Done, Operation


@workflow.defn
class CreateUser(Operation):
    """Add a user."""

    @workflow.run
    async def run(self, request: CreateUserRequest) -> OperationResult:
        """Create the role; undone by dropping it."""

        async def steps() -> Done:
            version = self.state.spec.next_password_version(request.username)
            user = User(name=request.username, role=request.role, password_version=version)
            password = await self.step(
                "create the role",
                effects.CREATE_USER,
                effects.UserInput(
                    target=self.primary,
                    user=user,
                    connection_limit=connection_limit(self.state.spec.plan),
                    new_password=True,
                ),
                undo=lambda: self.effect(
                    effects.DROP_USER,
                    effects.DropUserInput(target=self.primary, username=user.name, role=user.role),
                    "drop the role",
                ),
            )
            await self.conclude(UserIs(user=password.of(user)))
            return Done(f"User {user.name} was created with role {user.role}.")

        return await self.operate(request, steps)
