"""The claim on a cluster's name: taken by its creation, given back at its end."""

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from temporalio.common import WorkflowIDReusePolicy

    from model import effects
    from model.effects import ClusterKey, NameClaim
    from model.errors import AlreadyExists
    from model.names import name_workflow_id
    from workflows.call import call
    from workflows.cluster.name import ClusterName


async def claim_name(claim: NameClaim) -> None:
    """Take the name. One whose holder is gone is freed first; raises :class:`AlreadyExists` when it is in use."""
    try:
        await _start(claim)
    except WorkflowAlreadyStartedError:
        stale = effects.ReleaseStaleNameInput(org=claim.org, name=claim.name)
        await call(effects.RELEASE_STALE_NAME, stale, summary=f"see who has the name {claim.name}")
    else:
        return
    try:
        # Whatever was found: a holder that was just ending has ended by now.
        await _start(claim)
    except WorkflowAlreadyStartedError as error:
        raise AlreadyExists(f"Organization {claim.org} has a cluster {claim.name!r} already.") from error


async def _start(claim: NameClaim) -> None:
    await workflow.start_child_workflow(
        ClusterName.run,
        claim,
        id=name_workflow_id(claim.org, claim.name),
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        static_summary=f"Name {claim.name} of organization {claim.org}, held by cluster {claim.cluster_id}",
    )


async def release_name(org: str, name: str, cluster_id: str) -> None:
    """Give the name back, if *cluster_id* still has it."""
    handle = workflow.get_external_workflow_handle(name_workflow_id(org, name))
    try:
        await handle.signal("release", ClusterKey(cluster_id=cluster_id))
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.info("the name was free already", extra={"error": str(error)})
