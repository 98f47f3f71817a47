"""A local port that forwards to a cluster's endpoint."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from model.cluster import Address

CHUNK_BYTES = 65536


class Forwarder:
    """Forwards connections to one address; each lives and ends for itself."""

    def __init__(self, target: Address) -> None:
        """Forward to *target*."""
        self._target = target

    async def serve(self, host: str, port: int, on_listening: Callable[[Address], None]) -> None:
        """Listen on *host* and *port* (0 takes a free one) until cancelled.

        *on_listening* is called once with the address. Raises ``OSError`` when the port cannot be had.
        """
        server = await asyncio.start_server(self._forward, host, port)
        bound = server.sockets[0].getsockname()
        on_listening(Address(host=bound[0], port=bound[1]))
        async with server:
            await server.serve_forever()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of *reader*, then pass the end on: the other direction may still have something to say."""
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
