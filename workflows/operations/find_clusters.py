"""FindClusters: what a host has of clusters, known to this Temporal or not. A question, not an operation."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.adoption import FindClustersInput, FoundClusters
    from model.operations import FindClustersRequest
    from workflows.call import call


@workflow.defn
class FindClusters:
    """Ask a host for its clusters."""

    @workflow.run
    async def run(self, request: FindClustersRequest) -> FoundClusters:
        """Return what was found. Raises the error of the effect."""
        arg = FindClustersInput(read=request.read)
        return await call(effects.FIND_CLUSTERS, arg, summary=f"look at {request.host}", host=request.host)
