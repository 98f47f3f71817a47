"""A cluster's storage: what is used goes on record, a full cluster is read-only, and one that may grow grows.

Whether clients may write is decided here and put into the primary's configuration. That can be lost: a takeover sets
it on the new primary before the promotion, and each look tells what it really is.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node
    from model.conditions import DOES_NOT_GROW
    from model.effects import Target
    from model.errors import MpgError
    from model.facts import Fact, PrimaryIs, StorageIs
    from model.names import operation_workflow_id
    from model.operations import GrowStorageRequest
    from model.storage import GB, StorageLevel, StorageLook, filled_in, is_worth_telling, without_silence
    from model.storage_facts import facts_after, grown_to
    from workflows.call import failure_of
    from workflows.cluster.losses import WATCHED
    from workflows.cluster.record import ClusterRecord, no_condition

TRY_AGAIN_AFTER = timedelta(hours=1)


class StorageKeeper:
    """Keeps the record of what is used, and what follows from it."""

    def __init__(self, record: ClusterRecord) -> None:
        """Begin with what *record* has."""
        self._record = record
        self._telling: asyncio.Task[None] | None = None
        self._growing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Go on with what an earlier run of the workflow left."""
        if self._record.status.storage.read_only:
            self._tell_primary()
        self._grow()

    def seen(self, look: StorageLook) -> None:
        """Hear what the watch saw."""
        last = self._record.status.storage.look
        if self._record.status.phase not in WATCHED or (last is not None and look.at == last.at):
            return
        look = self._filled_in(look)
        if look.known != look.nodes and not workflow.patched("silent-nodes"):
            look = without_silence(look)
        self._judge(look)
        self._grow()

    def hear(self, facts: Iterable[Fact]) -> None:
        """Hear *facts* once they are on record: storage has grown, or another node takes writes."""
        kinds = {type(fact) for fact in facts}
        storage = self._record.status.storage
        if StorageIs in kinds and storage.look is not None:
            self._judge(storage.look)
        elif PrimaryIs in kinds and storage.read_only:
            self._tell_primary()

    async def read(self) -> StorageLook:
        """Look now. Raises as the effect."""
        arg = effects.ReadStorageInput(cluster_id=self._record.spec.id, nodes=self._record.status.nodes)
        look = await self._record.effect(effects.READ_STORAGE, arg, "see what storage is used")
        if not look.nodes:
            return look
        look = self._filled_in(look)
        if is_worth_telling(self._record.status.storage, look, self._record.spec.storage_gb * GB):
            self.seen(look)
        return look

    def _filled_in(self, look: StorageLook) -> StorageLook:
        last = self._record.status.storage.look
        filled, formerly = filled_in(look, last), filled_in(look, last, tells_for=timedelta.max)
        return filled if filled == formerly or workflow.patched("silent-since-missed") else formerly

    def stop(self) -> None:
        """Leave what is under way to whoever looks next."""
        for task in (self._telling, self._growing):
            if task is not None:
                task.cancel()

    # --- who may write ------------------------------------------------------------------------------------------------

    def _judge(self, look: StorageLook) -> None:
        before = self._record.status.storage.read_only
        self._record.learn(*facts_after(self._record.state, look, workflow.now()))
        after = self._record.status.storage.read_only
        if after is not before or look.read_only not in {after, None}:
            self._tell_primary()

    def _tell_primary(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._keep_telling())

    async def _keep_telling(self) -> None:
        """Tell the primary whether clients may write, again where either became another one meanwhile."""
        told: tuple[Node | None, bool] | None = None
        while told != (now := (self._record.status.primary, self._record.status.storage.read_only)):
            told = now
            primary, read_only = now
            if primary is None:
                return
            target = Target.of(self._record.spec.id, primary)
            arg = effects.SetReadOnlyInput(target=target, read_only=read_only)
            what = "let clients only read: storage is full" if read_only else "let clients write"
            try:
                await self._record.effect(effects.SET_READ_ONLY, arg, what)
            except MpgError as error:
                # The next look sees it, and this is done again.
                workflow.logger.error("who may write is not told", extra={"error": str(error)})
                return

    # --- growth -------------------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        if self._wanted_gb is not None and (self._growing is None or self._growing.done()):
            self._growing = asyncio.create_task(self._keep_growing())

    @property
    def _wanted_gb(self) -> int | None:
        """What the cluster is to grow to now; None where it is not, or was refused more a while ago."""
        spec, storage = self._record.spec, self._record.status.storage
        refused = self._record.status.condition(DOES_NOT_GROW)
        rests = refused is not None and workflow.now() - refused.since < TRY_AGAIN_AFTER
        return None if rests or storage.level is StorageLevel.OK else grown_to(spec.storage_gb, spec.auto_grow)

    async def _keep_growing(self) -> None:
        """Grow, again where one step was not enough."""
        while (wanted := self._wanted_gb) is not None:
            spec = self._record.spec
            request = GrowStorageRequest(cluster_id=spec.id, storage_gb=wanted)
            try:
                await workflow.execute_child_workflow(
                    request.operation,
                    request,
                    id=operation_workflow_id(request.operation, spec.name, f"grow-{str(workflow.uuid4())[:13]}"),
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    search_attributes=self._record.shown_by(request.operation),
                    static_summary=f"Grow storage of {spec.name} by itself to {wanted} GB",
                )
            except FailureError as error:
                if is_cancelled_exception(error):
                    raise
                message = f"It could not grow by itself to {wanted} GB: {failure_of(error)}"
                self._record.learn(self._record.condition(DOES_NOT_GROW, message))
            else:
                self._record.learn(no_condition(DOES_NOT_GROW))
