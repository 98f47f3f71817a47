"""Cluster: a cluster's own workflow, its only state store, which grants turns to operations.

Turns are granted first come, first served. A turn ends when the operation's workflow ends, however it ends: one
activity waits for that, so an operation that was terminated or timed out cannot keep the turn.

What it consists of is in the modules beside this one: the record, turns, losses and healing, the watch, settling,
draining, storage. Each has a state of its own that nobody else changes; here is who is called when.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.apps import Attachment
    from model.backups import BackupNote, Reading
    from model.base import Record
    from model.cluster import OVER, ClusterPhase, ClusterState, ClusterView, OperationRef
    from model.drills import DrillNote
    from model.effects import Alarm, OperationEnd, Target
    from model.events import Event
    from model.facts import AbsencesPlanned, PhaseIs, apply
    from model.names import operation_workflow_id
    from model.operations import ChangePlanRequest, Commit, ForcedFailoverRequest, TurnRequest
    from model.storage import StorageLook
    from workflows.call import answering, call
    from workflows.cluster.apps import attach, detach
    from workflows.cluster.archive import ArchiveKeeper
    from workflows.cluster.backups import BackupBook
    from workflows.cluster.claims import release_name
    from workflows.cluster.draining import Draining
    from workflows.cluster.drills import DrillBook
    from workflows.cluster.healing import Healing
    from workflows.cluster.losses import Losses
    from workflows.cluster.readers import ReaderBook
    from workflows.cluster.record import ClusterRecord
    from workflows.cluster.settling import EndedOperation, Settling
    from workflows.cluster.storage import StorageKeeper
    from workflows.cluster.tidings import Tidings
    from workflows.cluster.turns import Turns
    from workflows.cluster.watch import Watch

UNDOES = frozenset({"failed", "cancelled"})
"""Ends of an operation that undid what it had done, as opposed to one that was ended from outside."""
RETURN = "return-"
"""How the request ids of operations begin by which a cluster returns to its plan."""


class ClusterStart(Record):
    """What the workflow begins with, at first and after each continue-as-new."""

    state: ClusterState
    holder: OperationRef | None = None
    queue: tuple[TurnRequest, ...] = ()
    handled: tuple[str, ...] = ()
    ended: tuple[EndedOperation, ...] = ()
    untold: tuple[Event, ...] = ()


@workflow.defn
class Cluster:
    """One cluster, for as long as it lives."""

    @workflow.init
    def __init__(self, start: ClusterStart) -> None:
        """Begin with what *start* carries."""
        self._record = ClusterRecord(start.state)
        self._turns = Turns(self._record, start.holder, start.queue, start.handled)
        self._losses = Losses(lambda: self._record.state)
        self._record.listen(self._losses.hear)
        self._settling = Settling(self._record, start.ended, lambda: self._losses.primary is not None)
        self._healing = Healing(self._record, self._turns, self._losses, self._settling)
        self._watch = Watch(self._record, self._hear)
        self._draining = Draining(self._record)
        self._backups = BackupBook(self._record)
        self._archive = ArchiveKeeper(self._record, self._backups, lambda: self._turns.holder is None)
        self._drills = DrillBook(self._record)
        self._readers = ReaderBook(lambda: self._record.status.backups.readers, self._backups.put_readers)
        self._storage = StorageKeeper(self._record)
        self._tidings = Tidings(self._record, start.untold)
        self._record.observe(self._tidings.hear)

    @workflow.run
    async def run(self, start: ClusterStart) -> ClusterState:
        """Grant turns until the cluster is destroyed. Returns its last state."""
        self._storage.begin()
        self._tidings.begin()
        while self._record.status.phase not in OVER:
            self._record.show()
            self._draining.begin()
            self._watch.begin()
            self._archive.begin()
            self._readers.follow()
            if self._turns.holder is not None:
                await self._follow(self._turns.holder)
            elif (alarm := self._losses.next) is not None:
                await self._healing.heal(alarm)
            elif workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                self._continue_as_new()
            elif self._turns.waiting:
                await self._grant(self._turns.next())
            else:
                await workflow.wait_condition(self._something_to_do)
        await self._close()
        return self._record.state

    # --- what others say and ask ----------------------------------------------------------------------------------

    @workflow.signal
    def request_turn(self, request: TurnRequest) -> None:
        """An operation wants its turn. A request that was heard before changes nothing."""
        self._turns.request(request)

    @workflow.update
    async def take_turn(self, request: TurnRequest) -> effects.TurnAnswer:
        """An operation wants its turn, and waits a moment for the answer: the state, if it is granted by then."""
        return await self._turns.take(request)

    @workflow.signal
    def turn_yielded(self) -> None:
        """The holder of the turn stopped, as it was asked to."""
        self._healing.turn_yielded()

    @workflow.signal
    def commit(self, commit: Commit) -> None:
        """The holder of the turn reports facts. Nobody else's are believed."""
        if not self._turns.holds(commit.operation_id):
            workflow.logger.warning("commit of an operation that has no turn", extra={"id": commit.operation_id})
            return
        self._record.learn(*commit.facts)
        self._backups.hear(commit.facts)
        self._storage.hear(commit.facts)
        self._archive.begin()

    @workflow.update
    async def begin_backup(self, claim: effects.BackupClaim) -> effects.BackupStart:
        """An operation is about to back the cluster up, beside whoever has the turn."""
        return self._backups.begin(claim)

    @workflow.signal
    def note_backup(self, note: BackupNote) -> None:
        """An operation tells of the backup that it made, or did not make."""
        self._backups.note(note)
        self._drills.hear_of_backup()

    @workflow.update
    async def begin_drill(self, claim: effects.DrillClaim) -> effects.DrillStart:
        """An operation is about to prove a backup, beside whoever has the turn."""
        return self._drills.begin(claim)

    @workflow.signal
    def note_drill(self, note: DrillNote) -> None:
        """An operation tells what came of its drill."""
        self._drills.note(note)

    @workflow.signal
    def begin_reading(self, reading: Reading) -> None:
        """A restore is about to choose a backup, or has chosen one: what it reads stays until it has ended."""
        self._readers.begin(reading)

    @workflow.signal
    def storage_seen(self, look: StorageLook) -> None:
        """The watch saw how much storage is used."""
        self._storage.seen(look)

    @workflow.query
    def view(self) -> ClusterView:
        """The cluster as it stands. An operation that runs shows as phase ``updating``."""
        state = apply(self._record.state, [AbsencesPlanned(names=self._healing.absences)])
        holder = self._turns.holder
        if holder is not None and state.status.phase is ClusterPhase.READY:
            state = apply(state, [PhaseIs(phase=ClusterPhase.UPDATING)])
        run_id = workflow.info().run_id
        return ClusterView(state=state, operation=holder, waiting=len(self._turns.waiting), run_id=run_id)

    @workflow.update
    async def read_extensions(self, database: str) -> effects.Extensions:
        """The extensions of *database*, read from Postgres now."""
        spec, primary = self._record.spec, self._record.status.primary
        if spec.database(database) is None or primary is None:
            raise ApplicationError(f"Cluster {spec.name} has no database {database!r}.", type="NotFound")
        target = Target.of(spec.id, primary)
        arg = effects.ReadExtensionsInput(target=target, database=database)
        with answering():
            return await call(effects.READ_EXTENSIONS, arg, summary=f"read the extensions of {database}")

    @workflow.update
    async def read_storage(self) -> StorageLook:
        """What the nodes use, asked now."""
        with answering():
            return await self._storage.read()

    @workflow.update
    async def attach_app(self, name: str) -> Attachment:
        """Put an application on record; one that is there stays as it is."""
        with answering():
            return attach(self._record, name)

    @workflow.update
    async def detach_app(self, name: str) -> None:
        """Take an application off the record."""
        with answering():
            detach(self._record, name)

    # --- turns ----------------------------------------------------------------------------------------------------

    def _hear(self, alarm: Alarm) -> None:
        self._healing.note(alarm)
        self._archive.hear(alarm)

    async def _grant(self, request: TurnRequest) -> None:
        """Hand the turn over. An operation that ended while it waited is passed over."""
        status = self._record.status
        if request.type == ForcedFailoverRequest.operation:
            # It is about the lost primary: nobody else does anything about that now.
            self._record.learn(AbsencesPlanned(names=tuple(node.name for node in status.nodes)))
        elif status.phase is ClusterPhase.NEEDS_OPERATOR and status.primary is not None:
            # Somebody asks again, so perhaps the cause is gone.
            await self._settling.settle()
        if not await self._turns.grant(request):
            self._record.learn(AbsencesPlanned())

    async def _follow(self, holder: OperationRef) -> None:
        """Wait for the holder's end, and after one that did not complete see what is really there."""
        following = asyncio.create_task(self._turns.end_of(holder))
        await self._healing.let_work(holder, following)
        end = following.result()
        if not end.completed:
            await self._after_failure(holder, end)
        self._turns.give_to(None)
        self._record.learn(AbsencesPlanned())

    async def _after_failure(self, holder: OperationRef, end: OperationEnd) -> None:
        workflow.logger.info("operation did not complete", extra={"operation": holder.id, "how": end.how})
        phase = self._record.status.phase
        if phase in OVER:
            return
        undone = end.how in UNDOES
        if undone and self._turns.granted is not None:
            # What it had recorded before it turned back: a local activity may have run and be forgotten.
            self._record.take_back(self._turns.granted)
        self._settling.after(EndedOperation(id=holder.id, username=end.username, database=end.database, undone=undone))
        if phase is ClusterPhase.INITIALIZING:
            await self._settling.remove_everything(ClusterPhase.ERROR)
        elif phase is ClusterPhase.DESTROYING:
            # Part of the data may be gone: the only way is forward.
            await self._settling.remove_everything(ClusterPhase.DESTROYED)
        elif end.how == "rejected":
            self._settling.not_after(holder.id)
        else:
            await self._settling.settle()
            self._archive.lost(self._turns.granted)
            await self._return_to_plan(holder)

    async def _return_to_plan(self, lost: OperationRef) -> None:
        """Start a change of plan to the plan on record where an operation left nodes on another one."""
        spec, status = self._record.spec, self._record.status
        off_plan = [node.name for node in status.nodes if node.plan != spec.plan.name]
        if not off_plan or status.phase is not ClusterPhase.READY:
            return
        if lost.id.rpartition("/")[2].startswith(RETURN):
            workflow.logger.error("nodes stay on another plan than the cluster's", extra={"nodes": off_plan})
            return
        request = ChangePlanRequest(cluster_id=spec.id, plan=spec.plan.name)
        await workflow.start_child_workflow(
            request.operation,
            request,
            id=operation_workflow_id(request.operation, spec.name, f"{RETURN}{str(workflow.uuid4())[:13]}"),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=self._record.shown_by(request.operation),
            static_summary=f"Nodes {', '.join(off_plan)} of {spec.name} back to plan {spec.plan.name}, "
            f"which {lost.id} left",
        )

    # --- the end of a run -----------------------------------------------------------------------------------------

    def _something_to_do(self) -> bool:
        return (
            bool(self._turns.waiting)
            or self._losses.next is not None
            or self._watch.missing
            or workflow.info().is_continue_as_new_suggested()
        )

    def _continue_as_new(self) -> None:
        self._stop()
        workflow.continue_as_new(
            ClusterStart(
                state=self._record.state,
                queue=self._turns.waiting,
                handled=self._turns.handled,
                ended=self._settling.ended,
                untold=self._tidings.untold,
            )
        )

    def _stop(self) -> None:
        self._watch.stop()
        self._losses.stop()
        self._draining.stop()
        self._archive.stop()
        self._readers.stop()
        self._storage.stop()
        self._tidings.stop()

    async def _close(self) -> None:
        """Free the name, and tell those who wait that there is nothing left to change."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._turns.give_to(None)
        self._record.show()
        await self._tidings.told()
        self._stop()
        await release_name(self._record.spec.org, self._record.spec.name, self._record.spec.id)
        await self._turns.dismiss()
