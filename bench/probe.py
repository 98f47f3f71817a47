"""One client that asks again and again, and what it met: for endpoints and moments that pgbench does not show.

``python -m bench.probe`` is a process of its own with nothing else to do, so that what it measures is the wait for an
answer and not for its turn beside who measures. It reads its :class:`Orders` as one line, says ``ready`` with its
first answer, asks until its input ends, and prints what it :class:`Met`.
"""

import gc
import select
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg.errors import AdminShutdown, Diagnostic

from bench.client_process import client_process
from bench.workspace import say
from model.base import Record

_PAUSE_S = 0.01
_END_S = 60
"""For the last answer: a probe that gets none by then fails the bench."""


class Orders(Record):
    """Ask ``SELECT 1`` at *uri*, each time over a new connection with *reconnect*, else over the same."""

    uri: str
    reconnect: bool


class Met(Record):
    """Answers, errors, sessions that ended with their node, and the longest wait for an answer in milliseconds.

    *said* is what the first of the errors said.
    """

    asked: int = 0
    errors: int = 0
    said: str = ""
    ended: int = 0
    longest_ms: float = 0


class Probing:
    """What a probe met; known at the end of :func:`probing`'s block."""

    def __init__(self) -> None:
        """Begin with nothing met."""
        self.met = Met()


@asynccontextmanager
async def probing(uri: str, *, reconnect: bool) -> AsyncGenerator[Probing]:
    """Have a probe ask *uri* during the block. Raises ``RuntimeError`` when it ended without a report."""
    async with client_process("bench.probe", Orders(uri=uri, reconnect=reconnect)) as process:
        probing = Probing()
        yield probing
        probing.met = Met.model_validate_json(await process.finish(_END_S))
    if probing.met.said:
        say(f"A probe met an error. {probing.met.said}")


class _Probe:
    """Listens while it pauses, as a client does that looks at a session before it uses it.

    A session that ends tells why, and closes some time after that. A question put in between is one that nobody reads,
    and psycopg then raises that the session was closed, not why.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self.asked, self.errors, self.ended, self.longest_ms = 0, 0, 0, 0.0
        self.said = ""
        self._has_ended = False

    def run(self) -> None:
        going = True
        while going:
            begun = time.perf_counter()
            self._has_ended = False
            try:
                with psycopg.connect(self._orders.uri, autocommit=True, prepare_threshold=None) as connection:
                    connection.add_notice_handler(self._hear)
                    going = self._ask(connection, begun)
            except psycopg.Error as error:
                self._has_ended = self._has_ended or isinstance(error, AdminShutdown)
                if not self._has_ended:
                    self.errors += 1
                    self.said = self.said or f"{type(error).__name__}: {' '.join(str(error).split())}"
                    going = _goes_on(_PAUSE_S)
            self.ended += self._has_ended

    def _ask(self, connection: psycopg.Connection, begun: float) -> bool:
        while not self._has_ended:
            connection.execute("SELECT 1")
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - begun) * 1000)
            self.asked += 1
            if self.asked == 1:
                print("ready", flush=True)
                self.longest_ms = 0.0  # it connected and grew up
            for _ in connection.notifies(timeout=_PAUSE_S):
                pass
            if not _goes_on(0):
                return False
            if self._orders.reconnect:
                return True
            begun = time.perf_counter()
        return True

    def _hear(self, told: Diagnostic) -> None:
        self._has_ended = self._has_ended or told.sqlstate == AdminShutdown.sqlstate


def _goes_on(wait_s: float) -> bool:
    """Wait, and tell whether the input goes on."""
    return not select.select([sys.stdin], [], [], wait_s)[0]


def main() -> None:
    """Ask until the input ends."""
    probe = _Probe(Orders.model_validate_json(sys.stdin.readline()))
    gc.disable()
    probe.run()
    met = Met(asked=probe.asked, errors=probe.errors, said=probe.said, ended=probe.ended, longest_ms=probe.longest_ms)
    print(met.model_dump_json())


if __name__ == "__main__":
    main()
