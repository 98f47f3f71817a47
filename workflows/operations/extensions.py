"""Whether a database has an extension."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from workflows.operation import Operation


async def installed(operation: Operation, database: str, extension: str) -> bool:
    """Tell whether *extension* is installed in *database*, by asking Postgres now."""
    read = await operation.effect(
        effects.READ_EXTENSIONS,
        effects.ReadExtensionsInput(target=operation.primary, database=database),
        f"read the extensions of {database}",
    )
    return any(one.name == extension and one.installed is not None for one in read.extensions)
