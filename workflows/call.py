"""How effects are called: the one table of timeouts and retries."""

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from model.effects import HOST_KINDS, Effect, I, Kind, O
    from model.errors import NON_RETRYABLE, MpgError, NotYet, from_type, is_ours
    from model.names import MAIN_QUEUE, host_queue


R = TypeVar("R")


@dataclass(frozen=True)
class Manner:
    """Timeouts and retries of a kind of effect."""

    attempt: timedelta
    """start-to-close: one try."""
    heartbeat: timedelta | None
    retry: RetryPolicy
    taken_up: timedelta | None = None
    """schedule-to-start: until a worker has begun with it; None: for ever."""


def _retry(first: float, most: float, attempts: int) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=first),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=most),
        maximum_attempts=attempts,
        non_retryable_error_types=NON_RETRYABLE,
    )


_SECONDS = timedelta(seconds=1)
_FOREVER = timedelta(days=3650)

MANNERS: Mapping[Kind, Manner] = MappingProxyType(
    {
        # About a minute of tries: a failover is over by then, and a caller is still waiting.
        Kind.SQL: Manner(30 * _SECONDS, None, _retry(0.05, 5, 15)),
        Kind.SQL_WAIT: Manner(900 * _SECONDS, 5 * _SECONDS, _retry(0.1, 5, 15)),
        # Nobody waits for it, and each of its tries is bounded by itself.
        Kind.UNTIL_DONE: Manner(120 * _SECONDS, 5 * _SECONDS, _retry(0.1, 30, 0)),
        Kind.SQL_NEW: Manner(900 * _SECONDS, 5 * _SECONDS, _retry(0.1, 1, 5)),
        Kind.HOST: Manner(180 * _SECONDS, 10 * _SECONDS, _retry(0.2, 5, 6)),
        # Of a host that is lost no answer comes. Only what changes nothing is given up: a host that is started again
        # goes on with what was under way, however long it was away. No restart of a worker takes two minutes.
        Kind.HOST_LOOK: Manner(180 * _SECONDS, 10 * _SECONDS, _retry(0.2, 5, 6), taken_up=120 * _SECONDS),
        Kind.HOST_LONG: Manner(timedelta(hours=24), 10 * _SECONDS, _retry(0.2, 10, 6)),
        # Clients are waiting: a lost worker is noticed within 3 s, and the next try finds out how far the last one got.
        Kind.SWITCHOVER: Manner(timedelta(hours=2), 3 * _SECONDS, _retry(0.01, 0.5, 20)),
        # A watch that died is found by the host's next worker, and one that is over is ended there as well
        # (activities/watching/watch_ownership.py).
        Kind.WATCH_HOST: Manner(_FOREVER, 900 * _SECONDS, _retry(0.1, 5, 0)),
        Kind.WATCH: Manner(_FOREVER, 3 * _SECONDS, _retry(0.1, 5, 0)),
    }
)


async def call(effect: Effect[I, O], arg: I, *, summary: str, host: str | None = None) -> O:
    """Run *effect* and return its output.

    Args:
        effect: what to run.
        arg: its input.
        summary: one line for Temporal's UI.
        host: the host on whose queue container work runs; needed for the kinds that touch Docker.

    Raises:
        MpgError: the effect failed for good; the class is the one that the activity raised.
        asyncio.CancelledError: the operation was cancelled.
    """
    try:
        return await to_its_end(_execute(effect, arg, summary, host))
    except FailureError as error:
        # Not only ActivityError: a local activity's failure comes without that around it.
        if is_cancelled_exception(error):
            raise
        raise (_not_taken_up(error, host) or failure_of(error)) from error


async def to_its_end(execution: Coroutine[Any, Any, R]) -> R:
    """Await *execution*; on cancellation ask it to stop, wait until it did, and raise the cancellation.

    The SDK alone forgets a cancellation that meets an activity, or a signal, which completes all the same.
    """
    task = asyncio.create_task(execution)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await workflow.wait([task])
        if not task.cancelled():
            task.exception()  # or it is said to have been overlooked
        raise


async def _execute(effect: Effect[I, O], arg: I, summary: str, host: str | None) -> O:
    manner = MANNERS[effect.kind]
    if effect.kind is Kind.SQL:
        return await workflow.execute_local_activity(
            effect.name,
            arg,
            result_type=effect.output,
            start_to_close_timeout=manner.attempt,
            retry_policy=manner.retry,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=summary,
        )
    return await workflow.execute_activity(
        effect.name,
        arg,
        result_type=effect.output,
        task_queue=_queue(effect, host),
        schedule_to_start_timeout=manner.taken_up,
        start_to_close_timeout=manner.attempt,
        heartbeat_timeout=manner.heartbeat,
        retry_policy=manner.retry,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


def _queue(effect: Effect[Any, Any], host: str | None) -> str:
    if effect.kind not in HOST_KINDS:
        return MAIN_QUEUE
    assert host is not None, f"{effect.name} touches containers: say on which host"
    return host_queue(host)


def _not_taken_up(error: FailureError, host: str | None) -> MpgError | None:
    """Return what it means that nobody took an effect up; None where *error* is another one."""
    cause = error.cause
    if not isinstance(cause, TimeoutError) or cause.type is not TimeoutType.SCHEDULE_TO_START:
        return None
    return NotYet(
        f"No worker of host {host} answers.",
        remedy="Start its stack with 'mpg up', then try again; backups in a store can be restored on any other host.",
    )


@contextmanager
def answering() -> Generator[None]:
    """Have an error of ours that an update meets reach whoever asked, with its type.

    Any other exception would fail the workflow's task, not the update.
    """
    try:
        yield
    except MpgError as error:
        raise ApplicationError(str(error), type=type(error).__name__) from error


def failure_of(error: BaseException) -> MpgError:
    """Return the first error of ours in the chain of *error*, or one that carries the root's sentence.

    The first, not the last: what an effect raised from another error says what that means.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MpgError):
            return link
        if isinstance(link, ApplicationError) and is_ours(link.type):
            return from_type(link.type, " ".join((link.message or str(link)).split()))
        link = link.__cause__
    root: BaseException = error
    while isinstance(root, FailureError) and root.__cause__ is not None:
        root = root.__cause__
    if isinstance(root, ApplicationError):
        return from_type(root.type, " ".join((root.message or str(root)).split()))
    if isinstance(root, TimeoutError):
        return NotYet("A step did not end in its time.", remedy="The cause is in the worker's log; try again.")
    return MpgError(" ".join(str(root).split()) or type(root).__name__)
