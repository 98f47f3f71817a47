"""DisableExtension: with ``force`` also what depends on it. What is dropped cannot be brought back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.errors import NotFound
    from model.operations import DisableExtensionRequest, OperationResult
    from workflows.operation import Done, Operation
    from workflows.operations.extensions import installed


@workflow.defn
class DisableExtension(Operation):
    """Remove an extension from a database."""

    @workflow.run
    async def run(self, request: DisableExtensionRequest) -> OperationResult:
        """Drop the extension."""

        async def steps() -> Done:
            database, extension = request.database, request.extension
            if not await installed(self, database, extension):
                raise NotFound(f"Database {database} has no extension {extension}.")
            drop = effects.DisableExtensionInput(
                target=self.primary, database=database, extension=extension, force=request.force
            )
            # What depended on it can't be put back: from here on a cancellation is too late.
            await self.see_through(self.step("drop the extension", effects.DISABLE_EXTENSION, drop))
            return Done(f"Extension {extension} was disabled in database {database}.")

        return await self.operate(request, steps)
