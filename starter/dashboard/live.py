"""One stream of events for each tab: it says that something changed, and the page asks for what it shows anew.

The one place where the dashboard polls. All tabs that look at one thing share one look at it, and nobody looks at what
no tab shows.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from model.errors import MpgError, StackDown
from model.operations import OperationOutcome
from starter.dashboard.clusters import MOST_JUDGED
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

LOOK_SECONDS = 0.4
"""Between two looks at a thing that costs little."""
_SHARE = 5
"""A look that takes long is repeated after this many times as long, so that looking stays a small part of the load."""
_QUIET_SECONDS = 15.0
"""How often a stream says that it is there: a browser that has left is noticed by it."""

Look = Callable[[], Awaitable[str]]


class Watch:
    """Looks at one thing as long as somebody wants to know, and wakes whoever does."""

    def __init__(self, look: Look) -> None:
        """Look with *look*, which returns another text whenever what is shown is another."""
        self._look = look
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._watchers = 0
        self.seen: str | None = None

    async def next(self, before: str | None) -> str | None:
        """Return what is seen once it is not *before*."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.seen != before)
        return self.seen

    def join(self) -> None:
        """Count one more who wants to know."""
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self) -> bool:
        """Count one less; tell whether nobody is left."""
        self._watchers -= 1
        if self._watchers == 0 and self._task is not None:
            self._task.cancel()
            self._task = None
        return self._watchers == 0

    @property
    def ended(self) -> bool:
        """Tell whether looking came to an end by an error that nobody expected."""
        return self._task is None or self._task.done()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                seen = await self._look()
            except StackDown:
                seen = "silent"
            except MpgError as error:
                seen = str(error)
            if seen != self.seen:
                async with self._changed:
                    self.seen = seen
                    self._changed.notify_all()
            await asyncio.sleep(max(LOOK_SECONDS, _SHARE * (loop.time() - begun)))


class Watches:
    """The watches of this process, by what they look at."""

    def __init__(self) -> None:
        """Begin with none."""
        self._watches: dict[str, Watch] = {}

    async def changes(self, key: str, look: Look) -> AsyncGenerator[bytes]:
        """Yield an event of a stream at each change of what *look* returns, and a comment now and then."""
        watch = self._watches.setdefault(key, Watch(look))
        watch.join()
        try:
            yield b"retry: 1000\n\n"
            seen = watch.seen
            if seen is not None:
                yield _event(seen)  # the page may be older than what was seen last
            while True:
                try:
                    async with asyncio.timeout(_QUIET_SECONDS):
                        seen = await watch.next(seen)
                except TimeoutError:
                    if watch.ended:
                        return  # the browser comes back, and a new watch begins
                    yield b": here\n\n"
                    continue
                yield _event(seen)
        finally:
            if (watch.leave() or watch.ended) and self._watches.get(key) is watch:
                del self._watches[key]


def _event(seen: str | None) -> bytes:
    return f"event: changed\ndata: {hashlib.sha256((seen or '').encode()).hexdigest()[:16]}\n\n".encode()


@router.get("/live")
async def live(visit: Visiting, about: str = Query(max_length=300)) -> StreamingResponse:
    """Say when something about a cluster, an operation, or the list of clusters changes."""
    kind, _, name = about.partition(":")
    match kind:
        case "cluster":
            await visit.cluster(name)
            look = _look_at_cluster(visit, name)
        case "operation":
            await visit.operation(name)
            look = _look_at_operation(visit, name)
        case "operations":
            about, look = f"operations of {visit.caller.grants}", _look_at_operations(visit)
        case "wrong":
            about, look = f"wrong for {visit.caller.grants}", _look_at_wrong(visit)
        case _:
            about, look = f"clusters of {visit.caller.grants}", _look_at_clusters(visit)
    changes = visit.request.app.state.watches.changes(about, look)
    return StreamingResponse(
        changes, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _look_at_cluster(visit: Visit, cluster_id: str) -> Look:
    async def look() -> str:
        view = await visit.mpg.find(cluster_id)
        if view is None:
            return "gone"
        if view.operation is None:
            return view.model_dump_json()
        return view.model_dump_json() + (await visit.mpg.operation(view.operation.id).progress()).model_dump_json()

    return look


def _look_at_operation(visit: Visit, operation_id: str) -> Look:
    async def look() -> str:
        shape = await visit.mpg.operation(operation_id).describe()
        ended = shape.status is not OperationOutcome.RUNNING
        return shape.model_dump_json(exclude={"phase"} if ended else set())

    return look


def _look_at_clusters(visit: Visit) -> Look:
    async def look() -> str:
        rows = await visit.rows()
        if len(rows) > MOST_JUDGED:
            return "".join(row.model_dump_json() for row in rows)
        return "".join(view.model_dump_json() for view in await visit.mpg.views([row.id for row in rows]))

    return look


def _look_at_wrong(visit: Visit) -> Look:
    async def look() -> str:
        rows = await visit.rows(wrong=True)
        return "".join(view.model_dump_json() for view in await visit.mpg.views([row.id for row in rows]))

    return look


def _look_at_operations(visit: Visit) -> Look:
    async def look() -> str:
        found = [shape for org in await visit.organizations() for shape in await visit.mpg.operations(org=org)]
        return "".join(shape.model_dump_json() for shape in found)

    return look
