"""Operations: what ran and what runs, and each step by step as it happens."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends
from starlette.responses import Response

from model.cluster import ClusterPhase, ClusterView
from model.errors import InvalidInput, MpgError, NotFound, Refused, StackDown
from model.operations import (
    HEALING,
    MAKES_CLUSTER,
    OPERATIONS,
    ChangePlanRequest,
    FailoverRequest,
    ForcedFailoverRequest,
    OperationOutcome,
    RestartRequest,
    SwitchoverRequest,
)
from model.settings import Settings
from starter.client.shapes import OperationShape
from starter.dashboard.health import Tone
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.same import operating
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

LISTED = 100
"""How many operations a page lists at most."""
MEASURED = 20
"""The same where it says how long each held clients: a history is read for each."""
TONES = {
    OperationOutcome.RUNNING: Tone.BUSY,
    OperationOutcome.DONE: Tone.GOOD,
    OperationOutcome.FAILED: Tone.BAD,
    OperationOutcome.ROLLED_BACK: Tone.WARN,
    OperationOutcome.CANCELLED: Tone.IDLE,
}

TAKES_OVER = frozenset(
    each.operation
    for each in (ChangePlanRequest, FailoverRequest, ForcedFailoverRequest, RestartRequest, SwitchoverRequest)
)
_RETRIED = frozenset({OperationOutcome.FAILED, OperationOutcome.ROLLED_BACK, OperationOutcome.CANCELLED})


@dataclass(frozen=True)
class Wanted:
    """Which operations a list is to have; empty and None are any."""

    status: str = ""
    type: str = ""
    before: datetime | None = None
    """Only what ended before: an older page."""

    @property
    def limit(self) -> int:
        """How many a page has."""
        return MEASURED if self.measured else LISTED

    @property
    def measured(self) -> bool:
        """Whether it says of each how long it held clients."""
        return self.type in TAKES_OVER

    @property
    def outcome(self) -> OperationOutcome | None:
        """The status. Raises InvalidInput where there is none like that."""
        if self.status and self.status not in set(OperationOutcome):
            raise InvalidInput(f"There is no status {self.status!r}.")
        return OperationOutcome(self.status) if self.status else None

    @property
    def types(self) -> Collection[str]:
        """The types of operations."""
        return {self.type} if self.type else OPERATIONS

    def query(self, before: datetime | None) -> str:
        """Return what an address says for the same operations, and which of them, those that ended *before*."""
        said = {"status": self.status, "type": self.type} | ({"before": before.isoformat()} if before else {})
        return urlencode(said)


def _wanted(status: str = "", type: str = "", before: datetime | None = None) -> Wanted:
    return Wanted(status, type, before)


Listing = Annotated[Wanted, Depends(_wanted)]


@router.get("/operations")
async def list_operations(visit: Visiting, wanted: Listing) -> Response:
    """List the latest operations on all clusters that the visitor sees."""
    found = await visit.operations(
        wanted.limit + 1, types=wanted.types, outcome=wanted.outcome, ended_before=wanted.before
    )
    return await _list(visit, "operations/list.html", found, wanted, None)


@router.get("/clusters/{cluster_id}/operations")
async def list_operations_of_cluster(visit: Visiting, cluster_id: str, wanted: Listing) -> Response:
    """List the latest operations on one cluster."""
    view = await visit.cluster(cluster_id)
    found = await visit.mpg.operations_of(
        cluster_id,
        org=view.state.spec.org,
        limit=wanted.limit + 1,
        types=wanted.types,
        outcome=wanted.outcome,
        ended_before=wanted.before,
    )
    return await _list(visit, "operations/tab.html", found, wanted, view)


async def _list(
    visit: Visit, template: str, found: list[OperationShape], wanted: Wanted, view: ClusterView | None
) -> Response:
    shown = found[: wanted.limit]
    older = (shown[-1].finished_at or datetime.now(UTC)) if len(found) > len(shown) else None
    return render(
        visit,
        template,
        view=view,
        tab="operations",
        operations=shown,
        held=await _held(visit, shown) if wanted.measured else None,
        wanted=wanted,
        older=older and wanted.query(older),
        outcomes=list(OperationOutcome),
        types=sorted(OPERATIONS),
        tones=TONES,
    )


async def _held(visit: Visit, shown: Sequence[OperationShape]) -> dict[str, list[float]]:
    """Return by its id for how many milliseconds each operation held pooled clients, for each of its takeovers."""

    async def of(operation_id: str) -> list[float]:
        try:
            return [each.held_ms for each in await visit.mpg.operation(operation_id).takeovers()]
        except NotFound:  # Temporal forgot it meanwhile
            return []

    ids = [each.id for each in shown]
    return dict(zip(ids, await asyncio.gather(*map(of, ids)), strict=True))


@router.get("/operations/{operation_id:path}")
async def show_operation(visit: Visiting, operation_id: str) -> Response:
    """Show an operation with its steps."""
    return await _page(visit, operation_id, None)


@router.post("/operations/{operation_id:path}")
async def act_on_operation(visit: Visiting, operation_id: str) -> Response:
    """Ask an operation to stop and to undo what it did; or begin a new one with the request of one that failed."""
    given = await visit.form()
    handle, _ = await visit.operation(operation_id)
    try:
        if given.get("do") == "retry":
            return go_to(operation_path(await _retry(visit, operation_id)))
        await handle.cancel()
    except StackDown:
        raise
    except MpgError as error:
        return await _page(visit, operation_id, error)
    return go_to(operation_path(operation_id))


async def _retry(visit: Visit, operation_id: str) -> str:
    """Return the id of the new operation."""
    request, org = await visit.mpg.retryable(operation_id)
    if isinstance(request, MAKES_CLUSTER) and not visit.caller.may_create(org):
        raise Refused("You are signed in with a token for one cluster, which cannot make others.")
    return (await visit.mpg.retry(operation_id)).id


async def _page(visit: Visit, operation_id: str, error: MpgError | None) -> Response:
    handle, shape = await visit.operation(operation_id)
    view = await visit.mpg.find(shape.cluster_id)
    detail = await handle.detail() if shape.status is OperationOutcome.RUNNING else None
    return render(
        visit,
        "operations/page.html",
        status=409 if error else 200,
        operation=shape,
        detail=detail,
        cluster=view if view and view.state.status.phase is not ClusterPhase.DESTROYED else None,
        actor=await handle.actor() or "the cluster itself",
        may_retry=visit.may_change and shape.status in _RETRIED and shape.type not in HEALING,
        cluster_name=operation_id.split("/")[1] if operation_id.count("/") > 1 else "",
        takeovers=await handle.takeovers() if shape.type in TAKES_OVER else [],
        same=operating(shape),
        temporal=temporal_page(visit.settings, operation_id),
        tones=TONES,
        error=error,
    )


def temporal_page(settings: Settings, operation_id: str) -> str | None:
    """Return the address of a workflow in Temporal's UI, None where it is not known where that is."""
    if settings.temporal_page is None:
        return None
    space = f"namespaces/{settings.temporal_namespace}/workflows"
    return f"{settings.temporal_page}/{space}/{quote(operation_id, safe='')}"
