"""What runs in a cluster's databases, what ran, and an end to it."""

from datetime import datetime, timedelta
from typing import TypeVar

from model import names
from model.base import Record
from model.checks import require_database
from model.cluster import ClusterView
from model.effects import Signalled
from model.errors import NotFound, Refused, StackDown
from model.operations import Request
from model.queries import Queries, ReadQueriesRequest, SignalSessionRequest, StatementAsked, StatementPlan
from model.validation import validated
from starter.client.audit import AuditAction
from starter.client.auditing import Auditing
from starter.client.questions import ask

LOOK_TIMEOUT = timedelta(seconds=30)
R = TypeVar("R", bound=Record)


class QueryCalls(Auditing):
    """The part of :class:`starter.client.MpgClient` for sessions and statements."""

    async def queries(self, cluster: str, *, database: str | None = None, org: str = names.DEFAULT_ORG) -> Queries:
        """Return clients' sessions on the primary, and the statements that took the most time.

        With a *database* also what about its tables and indexes deserves a look. Raises
        :class:`~model.errors.NotFound`, :class:`~model.errors.Refused` without a primary,
        :class:`~model.errors.StackDown`.
        """
        view = await self.view(cluster, org=org)
        if database is not None:
            require_database(view.state.spec, database)
        request = validated(
            ReadQueriesRequest, cluster_id=view.state.spec.id, address=_primary_of(view), database=database
        )
        return await self._question(ReadQueriesRequest.workflow, request, view, Queries)

    async def statement_plan(
        self,
        cluster: str,
        statement: str,
        *,
        database: str | None = None,
        user: str | None = None,
        org: str = names.DEFAULT_ORG,
    ) -> StatementPlan:
        """Return the plan that Postgres makes now of a *statement* that ran, by its id in :meth:`queries`.

        It is for whatever values the statement has, and made with the rights that it ran with. Of several such
        statements it is the one of *database* and the role *user*, or else the one that took the most time. It is on
        record for those who audit. Raises :class:`~model.errors.NotFound` where there is none,
        :class:`~model.errors.Refused` where it has no plan, and as :meth:`queries`.
        """
        view = await self.view(cluster, org=org)
        spec = view.state.spec
        if database is not None:
            require_database(spec, database)
        asked = validated(StatementAsked, id=statement, database=database, user=user, users=spec.users)
        request = validated(ReadQueriesRequest, cluster_id=spec.id, address=_primary_of(view), statement=asked)
        self.note(AuditAction.EXPLAIN_STATEMENT, spec, statement)
        return await self._question(ReadQueriesRequest.workflow, request, view, StatementPlan)

    async def signal_session(
        self, cluster: str, pid: int, began: datetime, *, end: bool = False, org: str = names.DEFAULT_ORG
    ) -> None:
        """Cancel what a session runs, or *end* it; *pid* and *began* are those of :meth:`queries`.

        It is on record for those who audit. Raises :class:`~model.errors.NotFound` where there is no such session of a
        client's, and as :meth:`queries`.
        """
        view = await self.view(cluster, org=org)
        request = validated(
            SignalSessionRequest,
            cluster_id=view.state.spec.id,
            address=_primary_of(view),
            pid=pid,
            began=began,
            end=end,
        )
        with self._acting(AuditAction.END_SESSION if end else AuditAction.CANCEL_QUERY, view.state.spec, str(pid)):
            if not (await self._question(SignalSessionRequest.workflow, request, view, Signalled)).there:
                raise NotFound(f"Session {pid} is gone.")

    async def _question(self, workflow: str, request: Request, view: ClusterView, answer: type[R]) -> R:
        name = view.state.spec.name
        return await ask(
            self._client,
            self._settings,
            workflow,
            request,
            about=name,
            answer=answer,
            within=LOOK_TIMEOUT,
            summary=f"What runs in {name}",
            silent=StackDown(f"The primary of {name} does not answer.", remedy="See 'mpg status'."),
        )


def _primary_of(view: ClusterView) -> str:
    primary = view.state.status.primary
    if primary is None:
        raise Refused(f"Cluster {view.state.spec.name} has no primary.", remedy="See 'mpg status'.")
    return primary.address
