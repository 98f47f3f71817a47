"""The beginning of a cluster's own workflow: by its creation, or by its adoption."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

    from model import search_attributes
    from model.cluster import ClusterPhase, ClusterState, OperationRef
    from model.names import cluster_workflow_id
    from workflows.cluster.cluster import Cluster, ClusterStart


async def start_record(
    state: ClusterState,
    operation: str,
    reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE,
) -> None:
    """Start the workflow of the cluster that stands like *state*, with the operation that calls as its first holder.

    Raises ``WorkflowAlreadyStartedError`` where there is one, or was one that *reuse* does not let follow.
    """
    info = workflow.info()
    holder = OperationRef(id=info.workflow_id, run_id=info.run_id, type=operation, started_at=workflow.now())
    spec = state.spec
    await workflow.start_child_workflow(
        Cluster.run,
        ClusterStart(state=state, holder=holder, handled=(holder.id,)),
        id=cluster_workflow_id(spec.id),
        id_reuse_policy=reuse,
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        search_attributes=_shown(state),
        static_summary=f"Cluster {spec.name} of organization {spec.org}",
    )


def _shown(state: ClusterState) -> TypedSearchAttributes:
    spec, phase = state.spec, state.status.phase
    return TypedSearchAttributes(
        [
            SearchAttributePair(search_attributes.CLUSTER_ID, spec.id),
            SearchAttributePair(search_attributes.CLUSTER, spec.name),
            SearchAttributePair(search_attributes.ORG, spec.org),
            SearchAttributePair(search_attributes.STATUS, str(phase)),
            SearchAttributePair(search_attributes.PLAN, spec.plan.name),
            SearchAttributePair(search_attributes.HOST, spec.host),
            SearchAttributePair(search_attributes.NEEDS_OPERATOR, phase is ClusterPhase.NEEDS_OPERATOR),
        ]
    )
