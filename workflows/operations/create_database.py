"""CreateDatabase: made from template1, so it has the roles' default privileges."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Database
    from model.facts import DatabaseIs
    from model.operations import CreateDatabaseRequest, OperationResult
    from workflows.operation import Done, Operation


@workflow.defn
class CreateDatabase(Operation):
    """Add a database."""

    @workflow.run
    async def run(self, request: CreateDatabaseRequest) -> OperationResult:
        """Create the database; undone by dropping it."""

        async def steps() -> Done:
            database = Database(name=request.database)
            await self.step(
                "create the database",
                effects.CREATE_DATABASE,
                effects.DatabaseInput(target=self.primary, database=database),
                undo=lambda: self.effect(
                    effects.DROP_DATABASE,
                    effects.DropDatabaseInput(target=self.primary, database=database.name, force=True),
                    "drop the database",
                ),
            )
            await self.conclude(DatabaseIs(database=database))
            return Done(f"Database {database.name} was created.")

        return await self.operate(request, steps)
