"""Keeping a cluster in service: after operations that did not complete, and while former poolers drain."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.base import Record
    from model.cluster import ClusterPhase, ClusterState, Durability, PoolerPhase
    from model.effects import Target
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, PhaseIs, PoolersAre
    from workflows.cluster.record import ClusterRecord
    from workflows.nodes import SETTLED_CATCH_UP_S, bring_in_sync


class EndedOperation(Record):
    """An operation that did not complete: its workflow's id, and whom it was about."""

    id: str
    username: str | None = None
    database: str | None = None
    undone: bool = False
    """Whether its caller was told that nothing was done."""


class ClusterService(ClusterRecord):
    """The part of the cluster's workflow that settles and drains."""

    def __init__(self, state: ClusterState) -> None:
        """Begin with *state*, and nothing that drains."""
        super().__init__(state)
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._ended: tuple[EndedOperation, ...] = ()
        """Operations that did not complete, and that nobody has cleaned up after yet."""
        self._settling = False
        """Whether nodes are being started by the cluster itself just now."""

    async def _settle(self) -> None:
        """Put the cluster back in service, and record it as it really is."""
        arg = effects.SettleInput(state=self._state, ended=tuple(each.id for each in self._ended))
        self._settling = True
        try:
            seen = await self._effect(effects.SETTLE_CLUSTER, arg, "put the cluster back in service")
        except MpgError as error:
            await self._observe()
            self._give_to_operator(f"It could not be put back in service: {error}")
        else:
            self._learn([*seen.facts, AbsencesPlanned(), self._no_operator_needed(), PhaseIs(phase=ClusterPhase.READY)])
            # From here on the primary is one to miss again.
            self._settling = False
            await self._tidy()
        finally:
            self._settling = False

    async def _tidy(self) -> None:
        """What is left to do once the cluster is in service again."""
        await self._reconcile()
        await self._bring_in_sync()

    async def _reconcile(self) -> None:
        """Have Postgres and the record agree about those whom the ended operations were about."""
        primary = self._state.status.primary
        assert primary is not None, "settled"
        for ended in self._ended:
            arg = effects.ReconcileInput(
                target=Target(cluster_id=self._state.spec.id, address=primary.address),
                spec=self._state.spec,
                username=ended.username,
                database=ended.database,
                undone=ended.undone,
            )
            try:
                self._learn((await self._effect(effects.RECONCILE_RECORD, arg, f"clean up after {ended.id}")).facts)
            except MpgError as error:
                # Still to be done: the next time that the cluster settles.
                workflow.logger.error("could not clean up", extra={"operation": ended.id, "error": str(error)})
            else:
                self._ended = tuple(each for each in self._ended if each.id != ended.id)

    async def _observe(self) -> None:
        """Record what there is, so that whoever has to act sees it."""
        arg = effects.ObserveInput(state=self._state)
        try:
            self._learn((await self._effect(effects.OBSERVE_CLUSTER, arg, "look at nodes and poolers")).facts)
        except MpgError as error:
            workflow.logger.error("could not look at the cluster", extra={"error": str(error)})

    async def _bring_in_sync(self) -> None:
        """Have commits wait for the replica again, if an operation left them without it."""
        replica = self._state.status.replica
        if replica is None or replica.in_sync or self._state.spec.durability is not Durability.SYNC:
            return
        try:
            self._learn(await bring_in_sync(self._effect, self._state, SETTLED_CATCH_UP_S))
        except MpgError as error:
            workflow.logger.error("the replica is not in sync", extra={"error": str(error)})

    async def _remove_everything(self, then: ClusterPhase) -> None:
        ended = tuple(each.id for each in self._ended)
        arg = effects.RemoveClusterInput(cluster_id=self._state.spec.id, ended=ended)
        try:
            await self._effect(effects.REMOVE_CLUSTER, arg, "remove what is left of the cluster")
        except MpgError as error:
            self._give_to_operator(f"It could not be removed; destroy it once the cause is gone: {error}")
        else:
            self._learn([PhaseIs(phase=then)])

    def _drain(self) -> None:
        """See that every draining pooler is watched until its last client is gone."""
        for pooler in self._state.status.poolers:
            if pooler.phase is PoolerPhase.DRAINING and pooler.name not in self._draining:
                self._draining[pooler.name] = asyncio.create_task(self._drain_one(pooler.name))

    async def _drain_one(self, name: str) -> None:
        try:
            await self._await_drained(name)
        except MpgError as error:
            # It is still on record as draining: the cluster's next turn tries again.
            workflow.logger.error("could not drain", extra={"pooler": name, "error": str(error)})
        finally:
            self._draining.pop(name, None)

    async def _await_drained(self, name: str) -> None:
        pooler = next(p for p in self._state.status.poolers if p.name == name)
        endpoint = self._state.status.endpoint
        assert endpoint is not None
        arg = effects.DrainPoolersInput(
            cluster_id=self._state.spec.id,
            endpoint=endpoint,
            poolers=(pooler,),
            since=pooler.draining_since or workflow.now(),
        )
        await self._effect(effects.DRAIN_POOLERS, arg, f"drain {name}")
        left = tuple(p for p in self._state.status.poolers if p.name != name)
        self._learn([PoolersAre(poolers=left)])
