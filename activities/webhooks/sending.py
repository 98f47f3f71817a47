"""One POST to an address that was looked at: no redirect is followed, and no name is resolved a second time."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

import h11

from model.settings import Settings
from model.webhooks import Address, check_scheme, may_be_called, nowhere

TIMEOUT_S = 10.0
"""For everything: the name, the connection, the request, the head of the answer."""
MOST_HEAD = 16 * 1024
"""Bytes of an answer that are read at most, with all that comes before its head. Of its body nothing is."""
MOST_INFORMATIONAL = 5
"""Answers with 1xx (RFC 9110) that may come before the one that counts."""
USER_AGENT = "mpg-webhooks"
_DEFAULT_PORTS = {"https": 443, "http": 80}


LookUp = Callable[[str], Awaitable[Sequence[Address]]]


class Unsent(Exception):
    """There was no answer; the sentence says why."""


async def send(url: str, headers: Mapping[str, str], body: bytes, settings: Settings, look_up: LookUp) -> int:
    """POST *body* to *url* and return the status of the answer; *look_up* finds the addresses of its host.

    Raises :class:`Unsent`, and what *look_up* does that is neither an ``OSError`` nor a ``ValueError``.
    """
    try:
        check_scheme(url, plain=settings.webhook_plain_http)
        async with asyncio.timeout(TIMEOUT_S):
            return await _exchange(url, headers, body, settings, look_up)
    except TimeoutError:
        raise Unsent(f"There was no answer within {TIMEOUT_S:g} s.") from None
    except ssl.SSLError as error:
        raise Unsent(f"TLS failed: {error.reason or error}.") from error
    except OSError as error:
        # What the error itself says has the address in it.
        why = os.strerror(error.errno) if error.errno else "the connection broke"
        raise Unsent(f"The receiver cannot be reached: {why}.") from error
    except ValueError as error:
        raise Unsent(f"{error}".rstrip(".") + ".") from error
    except h11.ProtocolError as error:
        raise Unsent("The answer is not HTTP.") from error


async def _exchange(url: str, headers: Mapping[str, str], body: bytes, settings: Settings, look_up: LookUp) -> int:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    address = await _address(host, settings, look_up)
    tls = _tls() if parts.scheme == "https" else None
    # To the address itself: a name that resolves to another one by now gains nothing. The certificate is the name's.
    reader, writer = await asyncio.open_connection(str(address), port, ssl=tls, server_hostname=host if tls else None)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"host": parts.netloc, "user-agent": USER_AGENT, "connection": "close"} | dict(headers)
        return await _request(reader, writer, target, fields, body)
    finally:
        writer.close()
        with suppress(OSError):
            writer.transport.abort()  # what the receiver still wants to say is not waited for


async def _address(host: str, settings: Settings, look_up: LookUp) -> Address:
    """Return the address of *host* that is connected to. Raises ``ValueError`` where none may be."""
    try:
        addresses = await look_up(host)
    except (OSError, ValueError) as error:
        raise ValueError(nowhere(host)) from error
    for address in addresses:
        if may_be_called(address, settings.webhook_networks):
            return address
    raise ValueError(nowhere(host))


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, fields: Mapping[str, str], body: bytes
) -> int:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
    request = h11.Request(method="POST", target=target, headers=[*fields.items(), ("content-length", str(len(body)))])
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    return await _status(connection, reader)


async def _status(connection: h11.Connection, reader: asyncio.StreamReader) -> int:
    """Return the status of the answer. Whatever a receiver sends, it is read and looked at to a bound."""
    left, informational = MOST_HEAD, 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if not left:
                raise ValueError("The head of the answer is too long")
            data = await reader.read(left)
            left -= len(data)
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            return event.status_code
        elif not isinstance(event, h11.InformationalResponse):
            raise ValueError("The receiver closed the connection without an answer")
        elif (informational := informational + 1) > MOST_INFORMATIONAL:
            raise ValueError("The receiver sent informational answers only")


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Return what a receiver's certificate is verified with: the system's authorities."""
    return ssl.create_default_context()
