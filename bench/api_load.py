"""Clients of the HTTP API that ask at a fixed rate, however slowly it answers.

A wait counts from the moment at which a request was due, not from when it was sent: an API that is late for one is
late for those behind it too. ``python -m bench.api_load`` is a process of its own (:mod:`bench.client_process`).
"""

import http.client
import itertools
import json
import sys
import threading
import time

from model.base import Record

CONNECTIONS = 32
"""For reads, and as many for changes: more than are ever under way at a time, unless it falls behind."""
TIMEOUT_S = 30


class Call(Record):
    """A request, and the *name* under which its waits are told. *bodies* are sent in turn."""

    name: str
    path: str
    method: str = "GET"
    bodies: tuple[str, ...] = ()


class Stream(Record):
    """*calls* in turn, *per_second* of them."""

    calls: tuple[Call, ...]
    per_second: float


class Orders(Record):
    """Send *streams* to *port* of loopback, with *token*."""

    port: int
    token: str
    streams: tuple[Stream, ...]


class Answer(Record):
    """How long one call waited in ms, and its status; 0 where there was no answer."""

    name: str
    waited_ms: float
    status: int
    said: str = ""


class Answers(Record):
    """All of them. ``behind`` is how many were due and not sent when it ended."""

    answers: tuple[Answer, ...]
    behind: int


class _Sending:
    """One stream, which several threads send, each over a connection of its own."""

    def __init__(self, orders: Orders, stream: Stream, begin: float, over: threading.Event) -> None:
        self._orders, self._stream, self._begin, self._over = orders, stream, begin, over
        self._numbers = itertools.count()
        self.answers: list[Answer] = []
        self.threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CONNECTIONS)]

    def due(self, now: float) -> int:
        """How many should have been sent by *now*."""
        return int((now - self._begin) * self._stream.per_second)

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._orders.port, timeout=TIMEOUT_S)
        while True:
            number = next(self._numbers)  # atomic in CPython
            due = self._begin + number / self._stream.per_second
            if self._over.wait(max(0.0, due - time.perf_counter())):
                return
            turn, place = divmod(number, len(self._stream.calls))
            call = self._stream.calls[place]
            status, said = self._ask(connection, call, turn)
            waited = (time.perf_counter() - due) * 1000
            self.answers.append(Answer(name=call.name, waited_ms=waited, status=status, said=said))

    def _ask(self, connection: http.client.HTTPConnection, call: Call, turn: int) -> tuple[int, str]:
        body = call.bodies[turn % len(call.bodies)] if call.bodies else None
        headers = {"Authorization": f"Bearer {self._orders.token}", "Content-Type": "application/json"}
        try:
            connection.request(call.method, call.path, body=body, headers=headers)
            with connection.getresponse() as answer:
                content = answer.read()
                return answer.status, "" if answer.status < 400 else content.decode(errors="replace")[:200]
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return 0, f"{type(error).__name__}: {error}"


def send(orders: Orders, over: threading.Event) -> Answers:
    """Send until *over*, and return what was answered."""
    begin = time.perf_counter() + 0.1
    sendings = [_Sending(orders, stream, begin, over) for stream in orders.streams]
    threads = list(itertools.chain.from_iterable(each.threads for each in sendings))
    for thread in threads:
        thread.start()
    over.wait()
    due = sum(each.due(time.perf_counter()) for each in sendings)
    for thread in threads:
        thread.join()
    answers = tuple(itertools.chain.from_iterable(each.answers for each in sendings))
    return Answers(answers=answers, behind=max(0, due - len(answers)))


def main() -> None:
    """Send until the input ends."""
    orders, over = Orders.model_validate(json.loads(sys.stdin.readline())), threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print("ready", flush=True)
    print(send(orders, over).model_dump_json())


if __name__ == "__main__":
    main()
