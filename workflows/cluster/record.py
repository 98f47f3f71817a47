"""A cluster's record inside its workflow: its state, how facts change it, and what lists of workflows show of it."""

from collections.abc import Callable, Sequence
from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from model import search_attributes
    from model.cluster import ClusterPhase, ClusterSpec, ClusterState, ClusterStatus, Condition
    from model.conditions import NEEDS_OPERATOR
    from model.effects import Effect, I, O
    from model.facts import ConditionIs, Fact, PhaseIs, apply
    from workflows.call import call
    from workflows.cluster.details import details
    from workflows.search import upsert

SHOWS_CONDITIONS = "shows-conditions"
"""Runs that began before lists showed conditions go on without."""

Listener = Callable[[Sequence[Fact]], Sequence[Fact]]
"""Hears facts before they are recorded, and returns them with those that follow from them."""
Observer = Callable[[Sequence[Condition], Sequence[Condition]], None]
"""Is told which conditions held before facts were recorded, and which do then."""


class ClusterRecord:
    """What the cluster's workflow knows. Nobody else changes the state."""

    def __init__(self, state: ClusterState) -> None:
        """Begin with *state*."""
        self._state = state
        self._shown: tuple[str, str] | None = None
        self._listener: Listener = _as_they_are
        self._observer: Observer = _unseen

    @property
    def state(self) -> ClusterState:
        """The cluster as recorded."""
        return self._state

    @property
    def spec(self) -> ClusterSpec:
        """What was asked for."""
        return self._state.spec

    @property
    def status(self) -> ClusterStatus:
        """What is, as far as it was recorded."""
        return self._state.status

    def listen(self, listener: Listener) -> None:
        """Have *listener* hear every fact from now on; there is one at most."""
        self._listener = listener

    def observe(self, observer: Observer) -> None:
        """Have *observer* hear of the conditions from now on; there is one at most."""
        self._observer = observer

    def learn(self, *facts: Fact) -> None:
        """Record *facts*."""
        before = self.status.conditions
        self._state = apply(self._state, self._listener(facts))
        self.show()
        self._observer(before, self.status.conditions)

    def take_back(self, granted: ClusterState) -> None:
        """Take back what an operation recorded that was *granted* the turn with this state, and then undid what it did.

        The spec and the poolers are as they were then. The rest of the status stays: what became of nodes is so.
        """
        status = self.status.model_copy(update={"poolers": granted.status.poolers})
        self._state = ClusterState(spec=granted.spec, status=status)
        workflow.set_current_details(details(self._state))

    def show(self) -> None:
        """Keep Temporal's page and lists true, with an event in history only when what lists show changed."""
        workflow.set_current_details(details(self._state))
        self._show_conditions()
        phase, plan = str(self.status.phase), self.spec.plan.name
        if self._shown == (phase, plan):
            return
        self._shown = (phase, plan)
        upsert(
            search_attributes.STATUS.value_set(phase),
            search_attributes.PLAN.value_set(plan),
            search_attributes.NEEDS_OPERATOR.value_set(phase == ClusterPhase.NEEDS_OPERATOR),
        )

    def _show_conditions(self) -> None:
        held = sorted(condition.type for condition in self.status.conditions)
        shown = workflow.info().typed_search_attributes.get(search_attributes.CONDITIONS) or ()
        if held != sorted(shown) and workflow.patched(SHOWS_CONDITIONS):
            upsert(search_attributes.CONDITIONS.value_set(held) if held else search_attributes.CONDITIONS.value_unset())

    def shown_by(self, operation: str) -> TypedSearchAttributes:
        """Return the search attributes of an operation on this cluster."""
        return TypedSearchAttributes(
            [
                SearchAttributePair(search_attributes.CLUSTER_ID, self.spec.id),
                SearchAttributePair(search_attributes.CLUSTER, self.spec.name),
                SearchAttributePair(search_attributes.ORG, self.spec.org),
                SearchAttributePair(search_attributes.OPERATION, operation),
            ]
        )

    def give_to_operator(self, message: str) -> None:
        """Record that no safe automatic step is left, and what a person has to know."""
        workflow.logger.error("needs an operator", extra={"why": message})
        self.learn(self.condition(NEEDS_OPERATOR, message), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR))

    def in_service(self, *facts: Fact) -> None:
        """Record *facts*, and that the cluster is ready and needs nobody."""
        self.learn(*facts, no_condition(NEEDS_OPERATOR), PhaseIs(phase=ClusterPhase.READY))

    def condition(self, kind: str, message: str, since: datetime | None = None) -> ConditionIs:
        """Return the fact that a condition of this *kind* holds, *since* then or now."""
        began = since or workflow.now()
        return ConditionIs(condition=Condition(type=kind, status=True, since=began, message=message))

    async def effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        """Run *effect* for the cluster itself, on its host where it touches containers. Raises as ``call``."""
        return await call(effect, arg, summary=summary, host=self.spec.host)


def no_condition(kind: str) -> ConditionIs:
    """Return the fact that no condition of this *kind* holds."""
    return ConditionIs(condition=Condition(type=kind, status=False, since=workflow.now(), message=""))


def _unseen(before: Sequence[Condition], after: Sequence[Condition]) -> None:
    """Stand for an observer where there is none."""


def _as_they_are(facts: Sequence[Fact]) -> Sequence[Fact]:
    return facts
