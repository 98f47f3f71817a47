"""ClusterName: the claim on a cluster's name.

Temporal runs at most one workflow of an id, so of two concurrent creations with one name exactly one wins.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.effects import ClusterKey, NameClaim


@workflow.defn
class ClusterName:
    """Holds a name until it is released. Its id is :func:`model.names.name_workflow_id`."""

    @workflow.init
    def __init__(self, claim: NameClaim) -> None:
        """Hold *claim*."""
        self._claim = claim
        self._released = False

    @workflow.run
    async def run(self, claim: NameClaim) -> None:
        """Wait for the release."""
        await workflow.wait_condition(lambda: self._released)

    @workflow.signal
    def release(self, holder: ClusterKey | None = None) -> None:
        """The name is free again. A *holder* that is named and no longer has it releases nothing."""
        if holder is None or holder.cluster_id == self._claim.cluster_id:
            self._released = True

    @workflow.query
    def cluster_id(self) -> str:
        """The cluster that has the name."""
        return self._claim.cluster_id

    @workflow.query
    def claim(self) -> NameClaim:
        """The whole claim."""
        return self._claim
