"""ReadQueries: what runs in a cluster, what ran, and how. SignalSession: an end to it. Neither is an operation."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.queries import Queries, ReadQueriesRequest, SignalSessionRequest, StatementPlan
    from workflows.call import call


@workflow.defn
class ReadQueries:
    """Ask a primary for its sessions, its statements, and what about a database deserves a look; or for one plan."""

    @workflow.run
    async def run(self, request: ReadQueriesRequest) -> Queries | StatementPlan:
        """Return what was found. Raises the error of the effect."""
        target = effects.Target(cluster_id=request.cluster_id, address=request.address)
        if request.statement is not None:
            asked = effects.ExplainStatementInput(target=target, statement=request.statement)
            return await call(effects.EXPLAIN_STATEMENT, asked, summary=f"plan statement {request.statement.id}")
        arg = effects.ReadQueriesInput(target=target, database=request.database)
        return await call(effects.READ_QUERIES, arg, summary="look at sessions and statements")


@workflow.defn
class SignalSession:
    """Cancel what one session runs, or end it. It takes no turn: nothing that is on record changes."""

    @workflow.run
    async def run(self, request: SignalSessionRequest) -> effects.Signalled:
        """Return whether there was such a session. Raises the error of the effect."""
        target = effects.Target(cluster_id=request.cluster_id, address=request.address)
        arg = effects.SignalSessionInput(target=target, pid=request.pid, began=request.began, end=request.end)
        return await call(effects.SIGNAL_SESSION, arg, summary=f"{'end' if request.end else 'cancel'} {request.pid}")
