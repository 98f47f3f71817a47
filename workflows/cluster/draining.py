"""Poolers of a former generation, each followed until its last client is gone."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import PoolerPhase
    from model.errors import MpgError
    from model.facts import PoolersAre
    from workflows.cluster.record import ClusterRecord


class Draining:
    """Sees that every draining pooler on record is removed in its time."""

    def __init__(self, record: ClusterRecord) -> None:
        """Begin with nothing that drains."""
        self._record = record
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Follow every draining pooler that nobody follows yet."""
        for pooler in self._record.status.poolers:
            if pooler.phase is PoolerPhase.DRAINING and pooler.name not in self._tasks:
                self._tasks[pooler.name] = asyncio.create_task(self._drain(pooler.name))

    def stop(self) -> None:
        """Follow none any more; they stay on record as draining."""
        for task in self._tasks.values():
            task.cancel()

    async def _drain(self, name: str) -> None:
        try:
            await self._await_drained(name)
        except MpgError as error:
            # It is still on record as draining: the cluster's next turn tries again.
            workflow.logger.error("could not drain", extra={"pooler": name, "error": str(error)})
        finally:
            self._tasks.pop(name, None)

    async def _await_drained(self, name: str) -> None:
        pooler = next(p for p in self._record.status.poolers if p.name == name)
        endpoint = self._record.status.endpoint
        assert endpoint is not None
        arg = effects.DrainPoolersInput(
            cluster_id=self._record.spec.id,
            endpoint=endpoint,
            poolers=(pooler,),
            since=pooler.draining_since or workflow.now(),
        )
        await self._record.effect(effects.DRAIN_POOLERS, arg, f"drain {name}")
        left = tuple(p for p in self._record.status.poolers if p.name != name)
        self._record.learn(PoolersAre(poolers=left))
