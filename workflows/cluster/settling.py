"""Putting a cluster back in service after an operation that did not complete, and removing one for good."""

import asyncio
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.base import Record
    from model.cluster import ClusterPhase, Durability
    from model.effects import Target
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, PhaseIs
    from workflows.cluster.record import ClusterRecord
    from workflows.cluster.repository import remove_stored_backups
    from workflows.nodes import SETTLED_CATCH_UP_S, bring_in_sync


class EndedOperation(Record):
    """An operation that did not complete: its workflow's id, and whom it was about."""

    id: str
    username: str | None = None
    database: str | None = None
    undone: bool = False
    """Whether its caller was told that nothing was done."""


class Settling:
    """Cleans up after operations that did not complete."""

    def __init__(
        self, record: ClusterRecord, ended: tuple[EndedOperation, ...], more_urgent: Callable[[], bool]
    ) -> None:
        """Begin with the operations *ended* to clean up after; what clients do not need waits while *more_urgent*."""
        self._record = record
        self._ended = ended
        self._more_urgent = more_urgent
        self._under_way = False

    @property
    def ended(self) -> tuple[EndedOperation, ...]:
        """Operations that did not complete, and that nobody has cleaned up after yet."""
        return self._ended

    @property
    def under_way(self) -> bool:
        """Whether nodes are being started by the cluster itself just now."""
        return self._under_way

    def after(self, ended: EndedOperation) -> None:
        """Remember to clean up after this one."""
        self._ended = (*(each for each in self._ended if each.id != ended.id), ended)

    def not_after(self, operation_id: str) -> None:
        """Forget an operation that turns out to have left nothing behind."""
        self._ended = tuple(each for each in self._ended if each.id != operation_id)

    async def settle(self) -> None:
        """Put the cluster back in service, and record it as it really is."""
        arg = effects.SettleInput(state=self._record.state, ended=tuple(each.id for each in self._ended))
        self._under_way = True
        try:
            seen = await self._record.effect(effects.SETTLE_CLUSTER, arg, "put the cluster back in service")
        except MpgError as error:
            await self._observe()
            self._record.give_to_operator(f"It could not be put back in service: {error}")
        else:
            self._record.in_service(*seen.facts, AbsencesPlanned())
            # From here on the primary is one to miss again.
            self._under_way = False
            await self._tidy_unless_urgent()
        finally:
            self._under_way = False

    async def remove_everything(self, then: ClusterPhase) -> None:
        """Remove all of the cluster; it is in the phase *then* afterwards."""
        arg = effects.RemoveClusterInput(
            cluster_id=self._record.spec.id,
            ended=tuple(each.id for each in self._ended),
            keep_repository=self._record.status.backups_kept_until is not None,
        )
        try:
            await self._record.effect(effects.REMOVE_CLUSTER, arg, "remove what is left of the cluster")
            if not arg.keep_repository:
                await remove_stored_backups(self._record.effect, self._record.spec)
        except MpgError as error:
            self._record.give_to_operator(f"It could not be removed; destroy it once the cause is gone: {error}")
        else:
            self._record.learn(PhaseIs(phase=then))

    async def _tidy_unless_urgent(self) -> None:
        tidying = asyncio.create_task(self._tidy())
        await workflow.wait_condition(lambda: tidying.done() or self._more_urgent())
        if tidying.done():
            return tidying.result()
        tidying.cancel()
        await workflow.wait([tidying])
        return None

    async def _tidy(self) -> None:
        """What is left to do once the cluster is in service again."""
        await self._reconcile()
        await self._bring_in_sync()

    async def _reconcile(self) -> None:
        """Have Postgres and the record agree about those whom the ended operations were about."""
        primary = self._record.status.primary
        assert primary is not None, "settled"
        for ended in self._ended:
            arg = effects.ReconcileInput(
                target=Target.of(self._record.spec.id, primary),
                spec=self._record.spec,
                username=ended.username,
                database=ended.database,
                undone=ended.undone,
            )
            try:
                seen = await self._record.effect(effects.RECONCILE_RECORD, arg, f"clean up after {ended.id}")
            except MpgError as error:
                # Still to be done: the next time that the cluster settles.
                workflow.logger.error("could not clean up", extra={"operation": ended.id, "error": str(error)})
            else:
                self._record.learn(*seen.facts)
                self.not_after(ended.id)

    async def _observe(self) -> None:
        """Record what there is, so that whoever has to act sees it."""
        arg = effects.ObserveInput(state=self._record.state)
        try:
            seen = await self._record.effect(effects.OBSERVE_CLUSTER, arg, "look at nodes and poolers")
        except MpgError as error:
            workflow.logger.error("could not look at the cluster", extra={"error": str(error)})
        else:
            self._record.learn(*seen.facts)

    async def _bring_in_sync(self) -> None:
        """Have commits wait for the replica again, if an operation left them without it."""
        replica = self._record.status.replica
        if replica is None or replica.in_sync or self._record.spec.durability is not Durability.SYNC:
            return
        try:
            facts = await bring_in_sync(self._record.effect, self._record.state, SETTLED_CATCH_UP_S)
        except MpgError as error:
            workflow.logger.error("the replica is not in sync", extra={"error": str(error)})
        else:
            self._record.learn(*facts)
