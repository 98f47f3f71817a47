"""DeleteDatabase: with its data, which cannot be brought back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.facts import DatabaseGone
    from model.operations import DeleteDatabaseRequest, OperationResult
    from workflows.operation import Done, Operation


@workflow.defn
class DeleteDatabase(Operation):
    """Remove a database."""

    @workflow.run
    async def run(self, request: DeleteDatabaseRequest) -> OperationResult:
        """Drop the database. One with sessions in it is refused unless ``force`` ends them."""

        async def drop() -> None:
            await self.step(
                "drop the database",
                effects.DROP_DATABASE,
                effects.DropDatabaseInput(
                    target=self.primary,
                    database=request.database,
                    force=request.force,
                    endpoint=self.state.status.endpoint,
                    poolers=self.state.status.poolers,
                ),
            )
            await self.conclude(DatabaseGone(name=request.database))

        async def steps() -> Done:
            # What is dropped can't be put back: from here on a cancellation is too late.
            await self.see_through(drop())
            return Done(f"Database {request.database} was deleted.")

        return await self.operate(request, steps)
