"""ForcedFailover: the primary cannot be saved. The replica takes over without the commits that it lacks."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import ClusterPhase, Condition, Node
    from model.conditions import NEEDS_OPERATOR
    from model.effects import LostPrimary, NodeRef, StandbyPosition
    from model.errors import ReplicaBehind
    from model.facts import ConditionIs, PhaseIs
    from model.operations import ForcedFailoverRequest, OperationResult
    from workflows.operation import Done, Operation
    from workflows.operations.takeover import Takeover


@workflow.defn
class ForcedFailover(Operation):
    """Asked for by a person, who accepts the loss. The cluster watches neither node until one was promoted."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._takeover = Takeover(self)

    @workflow.run
    async def run(self, request: ForcedFailoverRequest) -> OperationResult:
        """See that the primary is lost, end it with proof, promote the replica and rebuild the lost node."""
        return await self.operate(request, self._steps)

    async def _steps(self) -> Done:
        old, new = self.primary_node, self.state.status.replica
        if new is None:
            raise ReplicaBehind(f"Cluster {self.state.spec.name} has no replica to promote.")
        promote = f"promote {new.name}"
        self.plan(
            f"see that {old.name} is lost",
            f"see that {old.name} has ended",
            f"start {new.name}, unless it runs",
            f"see what {new.name} has",
            promote,
            f"bring {old.name} back as a replica",
        )
        lost, kept = await self._prepare(old, new)

        async def take_over() -> Done:
            await self.do(promote, lambda: self._takeover.promote(new.name, *self._served()))
            became = await self._takeover.rebuild(old)
            said = f"Node {new.name} is the primary of cluster {self.state.spec.name} now. {_loss(old, lost, kept)}"
            return Done(f"{said} N{became[1:]}")

        return await self.see_through(take_over())

    async def _prepare(self, old: Node, new: Node) -> tuple[LostPrimary, StandbyPosition]:
        """Nothing here can be undone, or has to be: a primary that serves is refused, and no other is ended."""
        key = self.state.spec.id
        lost = await self.step(
            f"see that {old.name} is lost", effects.REQUIRE_LOST, effects.RequireLostInput(cluster_id=key, node=old)
        )
        await self.step(f"see that {old.name} has ended", effects.FENCE_NODE, NodeRef(cluster_id=key, name=old.name))
        # It started after the cluster was made, so it is not stopped first. Only now: it might have been promoted.
        start = effects.RestartNodeInput(cluster_id=key, node=new, requested_at=self.state.spec.created_at)
        await self.step(f"start {new.name}, unless it runs", effects.RESTART_NODE, start)
        kept = await self.step(
            f"see what {new.name} has", effects.READ_POSITION, effects.PositionInput(cluster_id=key, node=new)
        )
        return lost, kept

    def _served(self) -> tuple[ConditionIs, PhaseIs]:
        """The facts of a cluster that serves again: recorded with its new primary, which is to be watched."""
        gone = Condition(type=NEEDS_OPERATOR, status=False, since=workflow.now(), message="")
        return ConditionIs(condition=gone), PhaseIs(phase=ClusterPhase.READY)


def _loss(old: Node, lost: LostPrimary, kept: StandbyPosition) -> str:
    """Say what was given up, as exactly as can be known."""
    when = f", last commit at {kept.last_commit_at:%Y-%m-%d %H:%M:%S} UTC" if kept.last_commit_at else ""
    known = (
        f"its last checkpoint was at {lost.checkpoint} on timeline {lost.timeline}"
        if lost.checkpoint
        else "how far it came cannot be read any more"
    )
    return (
        f"It has all up to WAL position {kept.lsn} on timeline {kept.timeline}{when}. "
        f"What {old.name} acknowledged after that is lost; {known}."
    )
