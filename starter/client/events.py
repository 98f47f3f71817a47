"""Live events of all clusters: one look at Temporal's lists at a time for the whole process, however many listen.

::

    async with await hub.subscribe(lambda event: event.organization == "shop") as events:
        async for delivered in events:
            ...

Nobody looks while nobody listens. A look is one query of a millisecond or two, whose answer has only what runs, what
ended lately and what is not well; so clusters at rest cost nothing, and nothing is written to any history.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

import structlog

from model.cluster import ClusterView
from model.errors import MpgError, StackDown
from model.events import Event, EventCondition, EventKind, Look, changes
from starter.client.mpg_client import MpgClient

LOOK_S = 0.08
"""Pause between two looks while somebody listens."""
SILENT_S = 1.0
"""The same while Temporal does not answer."""
LINGER_S = 60.0
"""How long is looked on for those who may come back with the id of the last event that they saw."""
KEPT = 4096
"""How many events are kept for those who come back."""

log = structlog.get_logger()

Sees = Callable[[Event], bool]


class Delivered(NamedTuple):
    """An event, and the id from which to go on after it."""

    id: str
    event: Event


class TooManyListeners(Exception):
    """As many listen already as may."""


class EventHub:
    """The one source of a process. Any number of subscriptions read from it, each at its own pace."""

    def __init__(self, mpg: MpgClient, *, most: int) -> None:
        """Look by *mpg*, for at most *most* listeners at a time."""
        self._mpg = mpg
        self._most = most
        self._epoch = secrets.token_hex(4)
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._count = 0
        self._news = asyncio.Event()
        self._listeners = 0
        self._idle_since: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._began: asyncio.Future[None] | None = None
        self._closed = False

    async def subscribe(self, sees: Sees, last_id: str | None = None) -> "Subscription":
        """Begin to listen for events that *sees* lets through, after *last_id* or else from now on.

        Where what came after *last_id* is not known any more the first event is a ``reset``. Raises
        :class:`TooManyListeners`, and StackDown where Temporal does not answer.
        """
        if self._listeners >= self._most:
            raise TooManyListeners(f"{self._most} event streams are open already: that is the most.")
        self._listeners += 1
        self._idle_since = None
        try:
            await self._look_on()
        except BaseException:
            self._left()
            raise
        return Subscription(self, sees, self._position_after(last_id))

    def close(self) -> None:
        """End every subscription, each after what has happened by now, and look no more."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        self._wake()

    # --- for subscriptions ----------------------------------------------------------------------------------------

    def id_at(self, position: int) -> str:
        """Return the id of what is at *position*."""
        return f"{self._epoch}-{position}"

    @property
    def end(self) -> int:
        """The position of the next event to come."""
        return self._count

    @property
    def closed(self) -> bool:
        """Tell whether nothing comes any more."""
        return self._closed

    def at(self, position: int) -> Event | None:
        """Return the event at *position*; None where it is kept no longer."""
        index = position - (self._count - len(self._events))
        return self._events[index] if index >= 0 else None

    async def news(self, position: int, within_s: float) -> None:
        """Wait until there is an event at *position*, or nothing comes any more; *within_s* seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._count <= position and not self._closed:
                    await self._news.wait()

    def left(self) -> None:
        """Hear that a subscription is over."""
        self._left()

    # --- looking --------------------------------------------------------------------------------------------------

    def _position_after(self, last_id: str | None) -> int | None:
        """Return where to go on; None where that is not known any more."""
        if last_id is None:
            return self._count
        epoch, _, number = last_id.partition("-")
        if epoch != self._epoch or not number.isdecimal() or len(number) > 18:
            return None
        position = int(number) + 1
        return position if self._count - len(self._events) <= position <= self._count else None

    async def _look_on(self) -> None:
        """Return once what is so by now has been seen: only what comes later is news."""
        if self._looking is None or self._looking.done():
            began = self._began = asyncio.get_running_loop().create_future()
            self._looking = asyncio.create_task(self._keep_looking(began))
            # However it ends, also by close() before it has begun, nobody waits for ever.
            self._looking.add_done_callback(lambda _: began.done() or began.set_result(None))
        assert self._began is not None
        await asyncio.shield(self._began)

    async def _keep_looking(self, began: asyncio.Future[None]) -> None:
        try:
            known = await self._mpg.look(datetime.now(UTC))
        except Exception as error:
            began.set_exception(error)
            began.exception()  # nobody may have waited for it
            return
        if self._count:  # what came while nobody looked was missed
            self._count += 1
            self._events.clear()
        began.set_result(None)
        while not self._is_left_alone():
            await asyncio.sleep(LOOK_S)
            known = await self._look_again(known)

    async def _look_again(self, known: Look) -> Look:
        try:
            seen = await self._mpg.look(known.at)
            for event in changes(known, seen):
                await self._publish(event)
        except StackDown:
            await asyncio.sleep(SILENT_S)
            return known
        except Exception:  # whatever it is: all streams hear by this one task
            log.exception("events could not be looked for")
            await asyncio.sleep(SILENT_S)
            return known
        return seen

    async def _publish(self, event: Event) -> None:
        self._events.append(await self._in_full(event))
        self._count += 1
        self._wake()

    async def _in_full(self, event: Event) -> Event:
        """Return *event* with what lists do not have: the steps of an operation, the words of a condition."""
        try:
            if event.operation is not None:
                return await self._with_steps(event)
            if event.kind is EventKind.CONDITION_RAISED and event.condition is not None:
                return _with_words(event, event.condition, await self._mpg.find(event.cluster_id))
        except MpgError:
            pass  # without them it is still news
        except Exception:
            log.exception("an event could not be filled in", kind=event.kind, cluster_id=event.cluster_id)
        return event

    async def _with_steps(self, event: Event) -> Event:
        assert event.operation is not None
        handle = self._mpg.operation(event.operation.id)
        if event.kind is EventKind.OPERATION_ENDED:
            shape = await handle.describe()
            more = {"steps": shape.steps, "phase": shape.phase, "error": shape.error}
        elif event.kind is EventKind.OPERATION_STEP:
            more = {"steps": (await handle.progress()).steps}
        else:
            more = {}
        return event.model_copy(update={"operation": event.operation.model_copy(update=more)})

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _left(self) -> None:
        self._listeners -= 1
        if self._listeners == 0:
            self._idle_since = asyncio.get_running_loop().time()

    def _is_left_alone(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._closed or (self._idle_since is not None and now - self._idle_since > LINGER_S)


def _with_words(event: Event, condition: EventCondition, view: ClusterView | None) -> Event:
    held = view.state.status.condition(condition.type) if view else None
    if held is None:
        return event
    words = condition.model_copy(update={"since": held.since, "message": held.message})
    return event.model_copy(update={"condition": words})


class Subscription:
    """What one listener hears. Leave it by ``async with``, or :meth:`close`."""

    def __init__(self, hub: EventHub, sees: Sees, position: int | None) -> None:
        """Begin at *position* of *hub*; None: with a ``reset``, and then from now on."""
        self._hub = hub
        self._sees = sees
        self._lost = position is None
        self._position = hub.end if position is None else position
        self._open = True

    @property
    def over(self) -> bool:
        """Tell whether nothing comes any more."""
        return not self._open or (self._hub.closed and self._position >= self._hub.end)

    async def next(self, within_s: float) -> Delivered | None:
        """Return the next event; None when there is none *within_s* seconds, or nothing comes any more."""
        deadline = asyncio.get_running_loop().time() + within_s
        while not self.over:
            if self._lost:
                self._lost = False
                return Delivered(self._hub.id_at(self._position - 1), _reset())
            if self._position >= self._hub.end:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return None
                await self._hub.news(self._position, left)
                continue
            event = self._hub.at(self._position)
            if event is None:
                self._lost, self._position = True, self._hub.end
                continue
            self._position += 1
            if self._sees(event):
                return Delivered(self._hub.id_at(self._position - 1), event)
        return None

    async def __aiter__(self) -> AsyncGenerator[Delivered]:
        """Yield events until the hub is closed."""
        while not self.over:
            if (delivered := await self.next(3600)) is not None:
                yield delivered

    def close(self) -> None:
        """Listen no more."""
        if self._open:
            self._open = False
            self._hub.left()

    async def __aenter__(self) -> Self:
        """Return the subscription."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self.close()


def _reset() -> Event:
    return Event(kind=EventKind.RESET, at=datetime.now(UTC))
