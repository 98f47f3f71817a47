"""The Queries tab: what runs now, with an end to it; what took the most time, and how; what deserves a look."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import InvalidInput, MpgError, Refused, StackDown
from model.queries import MOST_SESSIONS, Queries, Statement, StatementOrder, StatementPlan, ordered
from starter.client.metric_shapes import MetricsRange, StatementHistoriesShape
from starter.dashboard.action import whole_number
from starter.dashboard.forms import Form
from starter.dashboard.metrics import chosen_range
from starter.dashboard.page import render
from starter.dashboard.queries.history import histories
from starter.dashboard.same import signalling
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

_CANCEL, _END = "cancel", "end"
ORDERS = {StatementOrder.TIME: "Time in all", StatementOrder.MEAN: "Slowest", StatementOrder.CALLS: "Most frequent"}


@dataclass(frozen=True)
class Wanted:
    """What of a look is shown: sessions of a user, suggestions for a database, statements in an order."""

    user: str
    database: str
    range: MetricsRange
    """Of statements' histories."""
    by: StatementOrder

    def query(self, *, range: MetricsRange | None = None, by: StatementOrder | None = None) -> str:
        """Return what an address says for the same with another *range*, or order."""
        return urlencode(
            {"user": self.user, "database": self.database, "range": range or self.range, "by": by or self.by}
        )


def _wanted(user: str = "", database: str = "", range: str = "", by: str = "") -> Wanted:
    order = StatementOrder(by) if by in set(StatementOrder) else StatementOrder.TIME
    return Wanted(user, database, chosen_range(range, MetricsRange.HOURS_24), order)


Looking = Annotated[Wanted, Depends(_wanted)]


@router.get("/clusters/{cluster_id}/queries")
async def show_queries(visit: Visiting, cluster_id: str, wanted: Looking) -> Response:
    """Show one look at the primary; each time that the page is loaded is another.

    Where only the head of the page is asked for anew, nothing is looked at.
    """
    return await _page(visit, cluster_id, wanted)


@router.get("/clusters/{cluster_id}/queries/plan")
async def show_plan(
    visit: Visiting, cluster_id: str, statement: str = "", database: str = "", user: str = ""
) -> Response:
    """Show the plan of a statement: a page of its own, of which a script takes the part to show below the statement.

    Where only the head of the page is asked for anew, nothing is planned.
    """
    view = await visit.cluster(cluster_id)
    found: StatementPlan | None = None
    error: MpgError | None = None
    if not visit.only_head:
        try:
            _check_sees(visit, view)
            found = await visit.mpg.statement_plan(
                view.state.spec.id, statement, database=database or None, user=user or None, org=view.state.spec.org
            )
        except MpgError as failed:
            error = failed
    status = 409 if error and not visit.by_htmx else 200
    return render(visit, "queries/plan.html", status=status, view=view, tab="queries", found=found, error=error)


@router.post("/clusters/{cluster_id}/queries")
async def signal_session(visit: Visiting, cluster_id: str, wanted: Looking) -> Response:
    """Cancel what a session runs, or end it, and look again."""
    given = await visit.form()
    view = await visit.cluster(cluster_id)
    done, error = await signal(visit, view, given)
    return await _page(visit, cluster_id, wanted, done=done, error=error)


async def signal(visit: Visit, view: ClusterView, given: Form) -> tuple[str, MpgError | None]:
    """Cancel what a session runs, or end it, as a form asks; return in a sentence what was done, or why it was not.

    Raises StackDown.
    """
    try:
        pid, began, end = _session(given)
        await visit.mpg.signal_session(view.state.spec.id, pid, began, end=end, org=view.state.spec.org)
    except StackDown:
        raise
    except MpgError as error:
        return "", error
    return f"Session {pid} is ended." if end else f"What session {pid} ran is cancelled.", None


async def look(visit: Visit, view: ClusterView, database: str = "") -> Queries:
    """Return one look at the primary. Raises Refused where data may not be shown, and as the client does."""
    _check_sees(visit, view)
    return await visit.mpg.queries(view.state.spec.id, database=database or None, org=view.state.spec.org)


def _session(given: Form) -> tuple[int, datetime, bool]:
    """Return which session is meant, and whether it is to be ended. Raises InvalidInput."""
    try:
        began = datetime.fromisoformat(given.get("began", ""))
    except ValueError:
        raise InvalidInput("This is not a form of these pages.") from None
    if given.get("do") not in {_CANCEL, _END}:
        raise InvalidInput("This is not a form of these pages.")
    return whole_number(given.get("pid", ""), "A process id"), began, given["do"] == _END


def _check_sees(visit: Visit, view: ClusterView) -> None:
    """Raise Refused for who may only read: statements' texts hold values, data, and so may their plans."""
    if not visit.sees_passwords(view):
        raise Refused("You are signed in for reading only, and statements show data.")


async def _page(
    visit: Visit, cluster_id: str, wanted: Wanted, *, error: MpgError | None = None, done: str = ""
) -> Response:
    view = await visit.cluster(cluster_id)
    found: Queries | None = None
    statements: tuple[Statement, ...] = ()
    known: StatementHistoriesShape | None = None
    try:
        if not visit.only_head:
            found = await look(visit, view, wanted.database)
            statements = ordered(found.statements, wanted.by)
            known = await visit.mpg.statement_histories(
                view.state.spec.id,
                {each.id for each in statements if each.id},
                range=wanted.range,
                org=view.state.spec.org,
            )
    except MpgError as failed:
        error = error or failed
    return render(
        visit,
        "queries/page.html",
        status=409 if error and not visit.by_htmx else 200,
        view=view,
        tab="queries",
        found=found,
        sessions=[each for each in found.sessions if wanted.user in {"", each.user}] if found else [],
        counts=[each for each in found.counts if wanted.user in {"", each.user}] if found else [],
        most=MOST_SESSIONS,
        same=signalling(view),
        statements=statements,
        known=known,
        histories=histories(known, statements) if known else None,
        wanted=wanted,
        ranges=list(MetricsRange),
        orders=ORDERS,
        error=error,
        done=done,
    )
