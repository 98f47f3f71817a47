"""DestroyCluster: removes a cluster with all its data; its backups may stay for some days. It only goes forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.archive_facts import archive_seen, archive_unknown, gap_to_close, unknown_since
    from model.backups import Hole
    from model.cluster import OVER, ClusterPhase, Node, NodePhase
    from model.effects import GapReport, RemoveClusterInput
    from model.errors import MpgError
    from model.facts import BackupsKept, Fact, PhaseIs, WalLost, apply
    from model.operations import DestroyClusterRequest, OperationResult
    from model.restore import KeptCluster, say
    from workflows.cluster.claims import release_name
    from workflows.cluster.kept import keep_backups, keep_no_longer
    from workflows.cluster.repository import remove_stored_backups
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import end_backups

LAST_ARCHIVE_S = 10.0
"""How long the archiver may take for what was committed last; a cluster that is destroyed may be a broken one."""
REMOVE = "remove containers, volumes and network"
ARCHIVE_LAST = "archive what was committed last"
CLOSES_GAP = "closes-gap-before-removal"
"""Patch: what a former primary did not archive is, before its volume is removed."""
RESCUES = 5
"""How often so much is archived from a former primary's volume as a minute allows."""
NO_PRIMARY = "It had no primary that ran."


@workflow.defn
class DestroyCluster(Operation):
    """Remove a cluster."""

    @workflow.run
    async def run(self, request: DestroyClusterRequest) -> OperationResult:
        """Remove everything; when that fails the cluster's own workflow goes on with it."""
        self._lacking: tuple[str, ...] = ()
        self._lost: tuple[WalLost, ...] = ()

        async def steps() -> Done:
            spec = self.state.spec
            if self.state.status.phase in OVER:
                return Done(f"Cluster {spec.name} was destroyed already.", changed=False)
            until = await self.see_through(self._remove(request.keep_backups_days))
            backed_up = self.state.status.backups.latest() is not None
            told = (
                f" It can be restored until {say(until)}: mpg restore {spec.id} --latest."
                if until and backed_up
                else ""
            )
            return Done(" ".join([f"Cluster {spec.name} was destroyed.{told}", *self._lacking]))

        return await self.operate(request, steps)

    async def _remove(self, days: int) -> datetime | None:
        """Remove the cluster; return until when its backups are kept, None where they are not."""
        spec = self.state.spec
        until = await self._keep(days) if spec.backups is not None and days else None
        kept = [BackupsKept(until=until)] if until else await self._forgo()
        # Without the condition that follows from a hole: it would have a backup begun.
        await self.commit(*kept, *self._lost, PhaseIs(phase=ClusterPhase.DESTROYING))
        if spec.backups is not None:
            await end_backups(self)
        await self.step(
            REMOVE, effects.REMOVE_CLUSTER, RemoveClusterInput(cluster_id=spec.id, keep_repository=until is not None)
        )
        if until is None:
            await remove_stored_backups(self.effect, spec)
        await self.commit(PhaseIs(phase=ClusterPhase.DESTROYED))
        # Not left to the cluster's end: who destroys a cluster may make one of the same name next.
        await release_name(spec.org, spec.name, spec.id)
        return until

    async def _forgo(self) -> list[BackupsKept]:
        """Where an earlier destruction was to keep backups and this one is not to: nobody keeps them any more."""
        if self.state.status.backups_kept_until is None or not workflow.patched("forgo-what-was-kept"):
            return []
        await keep_no_longer(self.state.spec.id)
        return [BackupsKept(until=None)]

    async def _keep(self, days: int) -> datetime:
        """See that the backups go in time, before there is nobody left who knows of them."""
        last = await self.do(ARCHIVE_LAST, self._archive_last)
        self._lacking, self._lost = last.lacking, tuple(fact for fact in last.facts if isinstance(fact, WalLost))
        until = workflow.now().replace(microsecond=0) + timedelta(days=days)
        state = apply(self.state, last.facts)
        await keep_backups(KeptCluster(state=state, end=last.end, until=until, flushed=not last.lacking))
        return until

    async def _archive_last(self) -> "_Last":
        """Have the archive reach to now, and lack nothing of what a former primary wrote, whose volume goes as well."""
        primary = self.state.status.primary
        running = primary if primary is not None and primary.phase is NodePhase.RUNNING else None
        is_open = unknown_since(self.state.status) is not None and workflow.patched(CLOSES_GAP)
        gap = await self._close_gap(running) if is_open else GapReport()
        end, why = await self._archive_now(running)
        if gap.handed_over and not why:
            gap = await self._close_gap(running)
        return self._seen(end, why, gap)

    def _seen(self, end: datetime, why: str, gap: GapReport) -> "_Last":
        now = workflow.now()
        facts = archive_seen(gap, self.state.status, now)
        unknown = gap.unknown
        if unknown is None and gap.handed_over:
            unknown = f"{gap.handed_over} segments are in the archiver's queue, and not archived yet."
            facts = (*facts, *archive_unknown(unknown, self.state.status, now))
        return _Last(end, _lacking(why, unknown, facts), facts)

    async def _close_gap(self, primary: Node | None) -> GapReport:
        """Have *primary* archive what a former one did not. Return what is known of it in the end."""
        report = GapReport(unknown=NO_PRIMARY)
        arg = primary and gap_to_close(self.state, primary)
        if primary is None or arg is None:
            return report
        for _ in range(RESCUES):
            try:
                report = await self.effect(
                    effects.CLOSE_ARCHIVE_GAP, arg, f"see that {primary.name} archives what is not archived"
                )
            except MpgError as error:
                return GapReport(unknown=str(error))
            if report.unknown is None or not report.rescued:
                break
        return report

    async def _archive_now(self, primary: Node | None) -> tuple[datetime, str]:
        """Return to where the archive of *primary* reaches, and why it may lack what was committed last."""
        if primary is None:
            return workflow.now(), NO_PRIMARY
        arg = effects.ArchiveNowInput(cluster_id=self.state.spec.id, primary=primary, timeout_s=LAST_ARCHIVE_S)
        try:
            return (await self.effect(effects.ARCHIVE_NOW, arg, ARCHIVE_LAST)).at, ""
        except MpgError as error:
            workflow.logger.warning("the last commits are not archived", extra={"error": str(error)})
            return workflow.now(), str(error)


@dataclass(frozen=True)
class _Last:
    """Where an archive ends, sentences on what it may lack, and the facts of that."""

    end: datetime
    lacking: tuple[str, ...]
    facts: tuple[Fact, ...]


def _lacking(why: str, unknown: str | None, facts: Sequence[Fact]) -> tuple[str, ...]:
    last = f"What was committed last is not in its archive: {why}"
    former = f"It is not known whether its archive lacks WAL that a former primary wrote: {unknown}"
    holes = [fact.hole for fact in facts if isinstance(fact, WalLost)]
    lost = [f"WAL is lost: no moment from {say(hole.since)} {_until(hole)} can be restored." for hole in holes]
    return (*([last] if why else []), *([former] if unknown else []), *lost)


def _until(hole: Hole) -> str:
    return f"to {say(hole.until)}" if hole.until else "on"
