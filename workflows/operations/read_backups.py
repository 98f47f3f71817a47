"""ReadBackups: what is in a cluster's repository. A question, not an operation."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import RepositoryContents
    from model.operations import ReadBackupsRequest
    from workflows.call import call


@workflow.defn
class ReadBackups:
    """Ask a host for the backups of a cluster, which may be gone itself."""

    @workflow.run
    async def run(self, request: ReadBackupsRequest) -> RepositoryContents:
        """Return what was found. Raises the error of the effect."""
        arg = effects.RepositoryRef(cluster_id=request.cluster_id, repository=request.repository, image=request.image)
        return await call(effects.READ_REPOSITORY, arg, summary="read the repository", host=request.host)
