"""Keeping somebody watching a cluster while it has something to lose."""

import asyncio
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.effects import Alarm
    from model.errors import MpgError
    from model.healing import pause_s
    from workflows.cluster.losses import WATCHED
    from workflows.cluster.record import ClusterRecord


class Watch:
    """One activity that lasts until something is lost, and is then begun again."""

    def __init__(self, record: ClusterRecord, on_alarm: Callable[[Alarm], None]) -> None:
        """Begin with nobody watching; *on_alarm* is told what was lost."""
        self._record = record
        self._on_alarm = on_alarm
        self._watching: asyncio.Task[None] | None = None

    @property
    def missing(self) -> bool:
        """Whether somebody should be watching and nobody is."""
        return self._watching is None and self._wanted

    @property
    def _wanted(self) -> bool:
        return self._record.status.phase in WATCHED

    def begin(self) -> None:
        """See that somebody watches the cluster while it has something to lose."""
        if self.missing:
            self._watching = asyncio.create_task(self._keep())

    def stop(self) -> None:
        """Have nobody watch any more."""
        if self._watching is not None:
            self._watching.cancel()

    async def _keep(self) -> None:
        failures = 0
        try:
            while self._wanted:
                spec, status = self._record.spec, self._record.status
                arg = effects.WatchInput(cluster_id=spec.id, status=status, backed_up=spec.backups is not None)
                try:
                    alarm = await self._record.effect(effects.WATCH_CLUSTER, arg, "watch")
                except MpgError as error:
                    failures += 1
                    workflow.logger.error("could not watch", extra={"error": str(error)})
                    await asyncio.sleep(pause_s(failures))
                else:
                    failures = 0
                    self._on_alarm(alarm)
        finally:
            self._watching = None
