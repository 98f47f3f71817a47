"""Listeners to the API's event streams: when an event was there, on the first and on the last of them.

``python -m bench.api_streams`` is a process of its own (:mod:`bench.client_process`).
"""

import asyncio
import json
import re
import sys
import time
from datetime import datetime
from typing import Any

from model.base import Record
from model.events import EventKind

_EVENT = re.compile(rb"id: (\S+)\nevent: (\S+)\ndata: (.*)")
_FACTS = {EventKind.OPERATION_BEGUN: "started_at", EventKind.OPERATION_ENDED: "finished_at"}
"""Events whose fact has a time of its own: Temporal's, by the clock of the same machine."""
_AT_ONCE = 50


class Orders(Record):
    """Open *streams* of *path* at *port* of loopback."""

    port: int
    token: str
    path: str
    streams: int


class Heard(Record):
    """An event: Unix seconds of its fact, of its arrival on the first and on the last stream, and on how many."""

    id: str
    fact: float
    first: float
    last: float
    streams: int = 1


class AllHeard(Record):
    """What a process heard, and how many streams ended before it did."""

    events: tuple[Heard, ...]
    ended: int


class Log:
    """What arrived, of all streams together."""

    def __init__(self) -> None:
        self.heard: dict[str, Heard] = {}
        self._other: set[str] = set()
        self.ended = 0

    def note(self, event: bytes, now: float) -> None:
        """Note an event that is there *now* (Unix seconds); heartbeats, and events of other kinds, are passed over."""
        if (found := _EVENT.search(event)) is None:
            return
        id = found[1].decode()
        if known := self.heard.get(id):
            self.heard[id] = known.model_copy(update={"last": now, "streams": known.streams + 1})
        elif id not in self._other:
            field = _FACTS.get(EventKind(found[2].decode()))
            fact = _time(json.loads(found[3]), field) if field else None
            if fact is None:
                self._other.add(id)
            else:
                self.heard[id] = Heard(id=id, fact=fact, first=now, last=now)


def _time(event: dict[str, Any], field: str) -> float | None:
    found = (event.get("operation") or {}).get(field)
    return datetime.fromisoformat(found).timestamp() if found else None


class _Listener(asyncio.Protocol):
    def __init__(self, orders: Orders, log: Log) -> None:
        self._orders, self._log = orders, log
        self._rest = b""
        self.begun = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        asked = (
            f"GET {self._orders.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._orders.token}\r\n\r\n"
        )
        transport.write(asked.encode())

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        if events and not self.begun.done():
            self.begun.set_result(None)  # a stream begins with a line of its own
        for event in events:
            self._log.note(event, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self._log.ended += 1
        if not self.begun.done():
            self.begun.set_exception(RuntimeError("A stream ended before it began."))


async def listen(orders: Orders) -> AllHeard:
    """Open the streams, say ``ready``, and listen until the input ends."""
    loop, log, gate = asyncio.get_running_loop(), Log(), asyncio.Semaphore(_AT_ONCE)

    async def one() -> asyncio.BaseTransport:
        async with gate:
            transport, listener = await loop.create_connection(lambda: _Listener(orders, log), "127.0.0.1", orders.port)
            await listener.begun
            return transport

    transports = await asyncio.gather(*(one() for _ in range(orders.streams)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    ended = log.ended
    for transport in transports:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
    return AllHeard(events=tuple(log.heard.values()), ended=ended)


def main() -> None:
    """Listen as ordered."""
    print(asyncio.run(listen(Orders.model_validate_json(sys.stdin.readline()))).model_dump_json())


if __name__ == "__main__":
    main()
