"""How long clients are to be expected to wait: as long as they did the last times, on this cluster or another."""

from collections.abc import Sequence

from model.cluster import ClusterView
from model.errors import MpgError, StackDown
from model.operations import ChangePlanRequest, OperationOutcome, RestartRequest, SwitchoverRequest
from starter.client.shapes import OperationShape
from starter.dashboard.visit import Visit

HOLDING = frozenset({"change-plan", "restart", "switchover"})
"""Actions that hold pooled clients once, while the nodes exchange their roles."""
_PLANNED = frozenset(each.operation for each in (ChangePlanRequest, RestartRequest, SwitchoverRequest))
MOST = 5
"""How many operations count, the latest: a history is read for each."""


def say_wait(held_ms: Sequence[float], elsewhere_ms: Sequence[float] = ()) -> str:
    """Return in a sentence how long clients were held each time, *elsewhere_ms* on other clusters of the installation.

    Those say what to expect of a cluster on which nothing was measured yet.
    """
    if held_ms:
        return f"{_span(held_ms, 'on this cluster')}."
    said = "How long pooled clients wait was not measured on this cluster yet: its nodes have not exchanged roles."
    return f"{said} {_span(elsewhere_ms, 'on this installation')}." if elsewhere_ms else said


def _span(held_ms: Sequence[float], where: str) -> str:
    least, most = (f"{each:.0f}" for each in (min(held_ms), max(held_ms)))
    if len(held_ms) == 1:
        return f"The last time {where} pooled clients waited for {most} ms"
    span = f"{most} ms each time" if least == most else f"{least} to {most} ms"
    return f"The last {len(held_ms)} times {where} pooled clients waited for {span}"


async def measured_wait(visit: Visit, view: ClusterView) -> str:
    """Return the same from operations that did what they were asked: the cluster's own, else any. Raises StackDown."""
    spec = view.state.spec
    own = await visit.mpg.operations_of(
        spec.id, org=spec.org, limit=MOST, types=_PLANNED, outcome=OperationOutcome.DONE
    )
    if held := await _held(visit, own):
        return say_wait(held)
    others = await visit.operations(MOST, types=_PLANNED, outcome=OperationOutcome.DONE)
    return say_wait((), await _held(visit, others))


async def _held(visit: Visit, operations: Sequence[OperationShape]) -> list[float]:
    held: list[float] = []
    for shape in operations:
        try:
            held += [each.held_ms for each in await visit.mpg.operation(shape.id).takeovers()]
        except StackDown:
            raise
        except MpgError:
            # Temporal forgot it between the two questions: the rest is as good.
            continue
    return held
