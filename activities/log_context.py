"""What every line of the log says that an activity writes: its cluster, its operation, itself."""

from contextlib import AbstractContextManager
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from model.base import Record
from model.effects import cluster_of
from model.log_keys import workflow_keys


def log_context(**keys: str | int | None) -> AbstractContextManager[None]:
    """Bind *keys*, but for those that are None, to every event logged inside.

    That holds across awaits and in the tasks that are started inside, also for what libraries log.
    """
    return structlog.contextvars.bound_contextvars(**{key: value for key, value in keys.items() if value is not None})


class LoggedActivities(Interceptor):
    """Has every activity, local ones too, run in a log context of its own."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Put the context around what comes *next*."""
        return _Logged(next)


class _Logged(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        arg = input.args[0] if input.args else None
        keys: dict[str, str | int | None] = {"activity": info.activity_type, "attempt": info.attempt}
        if info.workflow_id and info.workflow_type:
            keys |= workflow_keys(info.workflow_id, info.workflow_type)
        if isinstance(arg, Record) and (cluster := cluster_of(arg)) is not None:
            keys["cluster"] = cluster
        with log_context(**keys):
            return await super().execute_activity(input)
