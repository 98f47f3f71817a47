"""EnableExtension: a trusted or allow-listed one; Postgres itself keeps the record."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.errors import AlreadyExists
    from model.operations import EnableExtensionRequest, OperationResult
    from workflows.operation import Done, Operation
    from workflows.operations.extensions import installed


@workflow.defn
class EnableExtension(Operation):
    """Install an extension in a database."""

    @workflow.run
    async def run(self, request: EnableExtensionRequest) -> OperationResult:
        """Create the extension; undone by dropping it."""

        async def steps() -> Done:
            database, extension = request.database, request.extension
            if await installed(self, database, extension):
                raise AlreadyExists(f"Database {database} has extension {extension} already.")
            await self.step(
                "create the extension",
                effects.ENABLE_EXTENSION,
                effects.EnableExtensionInput(
                    target=self.primary,
                    database=database,
                    extension=extension,
                    schema_name=request.schema_name,
                    create_schema_if_needed=request.create_schema_if_needed,
                ),
                undo=lambda: self.effect(
                    effects.DISABLE_EXTENSION,
                    effects.DisableExtensionInput(
                        target=self.primary, database=database, extension=extension, force=False
                    ),
                    "drop the extension",
                ),
            )
            self.keep()
            return Done(f"Extension {extension} was enabled in database {database}.")

        return await self.operate(request, steps)
