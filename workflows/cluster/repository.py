"""The end of a repository of backups that is in a store elsewhere: a volume goes with the cluster's others."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import RepositoryKind
    from model.cluster import ClusterSpec
    from workflows.nodes import CallEffect


async def remove_stored_backups(call: CallEffect, spec: ClusterSpec) -> None:
    """Remove the backups of a cluster that is gone from their store, if they are in one. Raises as ``call``."""
    if spec.backups is None or spec.backups.repository.kind is not RepositoryKind.S3:
        return
    ref = effects.RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)
    await call(effects.REMOVE_REPOSITORY, ref, "remove the backups")
