"""The name of a cluster whose record an operation begins."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.effects import NameClaim
    from workflows.cluster.claims import claim_name, release_name
    from workflows.operation import Operation


async def claim_name_for(operation: Operation) -> None:
    """Take the name of the operation's cluster; given back when it fails. Raises :class:`AlreadyExists`."""
    spec = operation.state.spec
    await claim_name(
        NameClaim(org=spec.org, name=spec.name, cluster_id=spec.id, operation_id=workflow.info().workflow_id)
    )
    operation.on_failure("claim the name", lambda: release_name_for(operation))


async def release_name_for(operation: Operation) -> None:
    """Give the name of the operation's cluster back, if it still has it."""
    spec = operation.state.spec
    await release_name(spec.org, spec.name, spec.id)
