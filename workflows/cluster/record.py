"""A cluster's record inside its workflow: its state, how facts change it, and what lists of workflows show of it."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from model import search_attributes
    from model.cluster import ClusterPhase, ClusterState, Condition
    from model.effects import Effect, I, O
    from model.facts import ConditionIs, Fact, PhaseIs, apply
    from workflows.call import call
    from workflows.search import upsert

NEEDS_OPERATOR = "NeedsOperator"
"""Type of the condition that says what an operator has to do."""


class ClusterRecord:
    """The part of the cluster's workflow that knows."""

    def __init__(self, state: ClusterState) -> None:
        """Begin with *state*."""
        self._state = state
        self._shown: tuple[str, str] | None = None

    def _learn(self, facts: Sequence[Fact]) -> None:
        self._state = apply(self._state, facts)
        self._show()

    def _show(self) -> None:
        """Keep Temporal's lists true, with an event in history only when something changed."""
        phase, plan = str(self._state.status.phase), self._state.spec.plan.name
        if self._shown == (phase, plan):
            return
        self._shown = (phase, plan)
        upsert(
            search_attributes.STATUS.value_set(phase),
            search_attributes.PLAN.value_set(plan),
            search_attributes.NEEDS_OPERATOR.value_set(phase == ClusterPhase.NEEDS_OPERATOR),
        )

    def _shown_by(self, operation: str) -> TypedSearchAttributes:
        """Return the search attributes of an operation on this cluster."""
        spec = self._state.spec
        return TypedSearchAttributes(
            [
                SearchAttributePair(search_attributes.CLUSTER_ID, spec.id),
                SearchAttributePair(search_attributes.CLUSTER, spec.name),
                SearchAttributePair(search_attributes.ORG, spec.org),
                SearchAttributePair(search_attributes.OPERATION, operation),
            ]
        )

    def _give_to_operator(self, message: str) -> None:
        workflow.logger.error("needs an operator", extra={"why": message})
        condition = Condition(type=NEEDS_OPERATOR, status=True, since=workflow.now(), message=message)
        self._learn([ConditionIs(condition=condition), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)])

    def _no_operator_needed(self) -> ConditionIs:
        return ConditionIs(condition=Condition(type=NEEDS_OPERATOR, status=False, since=workflow.now(), message=""))

    async def _effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        return await call(effect, arg, summary=summary, host=self._state.spec.host)
