"""Names that strangers chose, looked up in threads of their own: their name servers may answer late, or never."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable

from model.errors import TooOften
from model.webhooks import Address

MOST = 32
"""Lookups under way at a time."""
MOST_OF_ONE = 4
"""Of those, of one organization. A name that several wait for is looked up once for all."""

LookUp = Callable[[str], list[Address]]
_Answer = asyncio.Future[list[Address]]


def look_up(host: str) -> list[Address]:
    """Return the addresses of *host*, as the system finds them, within a minute or so.

    Raises ``OSError``, and ``ValueError`` for what is no name.
    """
    return [ipaddress.ip_address(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class NameLookups:
    """Looks names up, a bounded number at a time for each organization.

    Nothing ends a lookup but the system's resolver. In the loop's own threads, as :meth:`asyncio.loop.getaddrinfo` does
    it, a few names whose servers say nothing would keep everybody's work waiting. The threads are daemons: none keeps
    a process that is to end.
    """

    def __init__(self, look_up: LookUp = look_up, *, most: int = MOST, of_one: int = MOST_OF_ONE) -> None:
        """Ask *look_up*, *most* times at a time, and *of_one* for each organization."""
        self._look_up = look_up
        self._most, self._of_one = most, of_one
        self._running: dict[tuple[str, str], _Answer] = {}

    async def addresses(self, organization: str, host: str) -> list[Address]:
        """Return the addresses of *host*.

        Raises :class:`TooOften` at once where no thread is free, ``OSError`` and ``ValueError`` where it has none.
        Whoever gives up before leaves the thread to those that ask for the same name.
        """
        running = self._running.get((organization, host)) or self._begin(organization, host)
        return await asyncio.shield(running)

    def _begin(self, organization: str, host: str) -> _Answer:
        ours = sum(each == organization for each, _ in tuple(self._running))
        if ours >= self._of_one or len(self._running) >= self._most:
            raise TooOften(f"Too many names are being looked up for organization {organization}.", remedy="Try again.")
        loop = asyncio.get_running_loop()
        answer: _Answer = loop.create_future()
        self._running[organization, host] = answer

        def give(found: list[Address] | Exception) -> None:
            del self._running[organization, host]
            if isinstance(found, Exception):
                answer.set_exception(found)
                answer.exception()  # or it is said to have been overlooked where nobody waits any more
            else:
                answer.set_result(found)

        def run() -> None:
            found: list[Address] | Exception
            try:
                found = self._look_up(host)
            except Exception as error:
                found = error
            try:
                loop.call_soon_threadsafe(give, found)
            except RuntimeError:  # the loop is closed: nobody waits any more
                del self._running[organization, host]

        threading.Thread(target=run, name=f"look up {host}", daemon=True).start()
        return answer
