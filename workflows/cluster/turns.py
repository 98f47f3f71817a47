"""Turns: who may change the cluster now, and who waits for that. First come, first served."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import OVER, ClusterState, OperationRef
    from model.effects import OperationEnd, TurnAnswer
    from model.operations import TurnGrant, TurnRequest
    from workflows.call import call
    from workflows.cluster.record import ClusterRecord

HANDLED_KEPT = 1000
"""How many ids of past operations are kept, so that a repeated request for a turn is seen as one."""
ASKING = timedelta(seconds=2)
"""How long an operation waits for its turn with its request open. Then it has a place in the queue."""


class Turns:
    """The holder of the turn, and the queue."""

    def __init__(
        self,
        record: ClusterRecord,
        holder: OperationRef | None = None,
        queue: tuple[TurnRequest, ...] = (),
        handled: tuple[str, ...] = (),
    ) -> None:
        """Begin with what a former run of the workflow left."""
        self._record = record
        self._holder = holder
        self._queue = list(queue)
        self._handled = list(handled)
        self._granted: ClusterState | None = None
        self._asking: set[str] = set()
        """Operations that wait for the answer to their request just now, and need no signal."""

    @property
    def holder(self) -> OperationRef | None:
        """The operation that has the turn."""
        return self._holder

    @property
    def waiting(self) -> tuple[TurnRequest, ...]:
        """Who waits, in their order."""
        return tuple(self._queue)

    @property
    def handled(self) -> tuple[str, ...]:
        """Ids of operations whose request was heard."""
        return tuple(self._handled)

    @property
    def granted(self) -> ClusterState | None:
        """How the cluster stood before the last operation that was granted the turn began; None before the first."""
        return self._granted

    def request(self, request: TurnRequest) -> None:
        """Put *request* in the queue. One that was heard before changes nothing."""
        if request.operation_id in self._handled:
            return
        self._handled = [*self._handled[-HANDLED_KEPT:], request.operation_id]
        self._queue.append(request)

    async def take(self, request: TurnRequest) -> TurnAnswer:
        """Put *request* in the queue and wait a moment for its turn: the answer has the state, if it came by then."""
        self.request(request)
        self._asking.add(request.operation_id)
        try:
            await workflow.wait_condition(lambda: self._is_answered(request.operation_id), timeout=ASKING)
        except TimeoutError:
            return TurnAnswer()
        finally:
            self._asking.discard(request.operation_id)
        # An operation whose first task is run again has committed already, and is to see what it saw then.
        granted = self._granted or self._record.state
        status = self._record.status.model_copy(update={"poolers": granted.status.poolers})
        return TurnAnswer(state=ClusterState(spec=granted.spec, status=status))

    def next(self) -> TurnRequest:
        """Return who is first in the queue, and take it out."""
        return self._queue.pop(0)

    async def grant(self, request: TurnRequest) -> bool:
        """Hand the turn over; return False, with nobody as its holder, where the operation has ended meanwhile."""
        self._granted = self._record.state
        # Before the signal: its first commit may be here before we are told that the signal arrived.
        self._holder = holder = OperationRef(
            id=request.operation_id, run_id=request.run_id, type=request.type, started_at=workflow.now()
        )
        if holder.id not in self._asking and not await self.tell(holder.id, holder.run_id):
            self._holder = None
        return self._holder is not None

    def holds(self, operation_id: str) -> bool:
        """Tell whether this operation has the turn."""
        return self._holder is not None and self._holder.id == operation_id

    def give_to(self, holder: OperationRef | None) -> None:
        """Have *holder* as the one with the turn: it is lent the turn or gets it back, or nobody has it any more."""
        self._holder = holder

    async def tell(self, operation_id: str, run_id: str) -> bool:
        """Give an operation the state as it stands; return whether the operation is there to hear it."""
        operation = workflow.get_external_workflow_handle(operation_id, run_id=run_id or None)
        try:
            await operation.signal("grant_turn", TurnGrant(state=self._record.state))
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return False
        return True

    async def end_of(self, holder: OperationRef) -> OperationEnd:
        """Return how *holder* ended, when it has: also one that was terminated or timed out."""
        arg = effects.AwaitOperationInput(operation_id=holder.id, run_id=holder.run_id)
        return await call(effects.AWAIT_OPERATION_END, arg, summary=f"follow {holder.id}")

    async def dismiss(self) -> None:
        """Tell those who wait that there is nothing left to change."""
        while self._queue:
            waiting = self._queue.pop(0)
            await self.tell(waiting.operation_id, waiting.run_id)

    def _is_answered(self, operation_id: str) -> bool:
        return self.holds(operation_id) or self._record.status.phase in OVER
