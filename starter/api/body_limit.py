"""A bound on the size of a body, and on how long it takes to come."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.api.errors import respond

MOST_BYTES = 64 * 1024
"""The largest body that means anything here has a few hundred bytes; a GraphQL document a few thousand."""
SECONDS = 15.0


class BodyLimit:
    """ASGI middleware: reads the whole body, and answers 413 or 408 where it is too large or too slow."""

    def __init__(self, app: ASGIApp) -> None:
        """Hand requests with a body of at most :data:`MOST_BYTES` to *app*."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(SECONDS):
                body = await _read(receive)
        except TimeoutError:
            await respond(scope["path"], 408, "The body did not come in time.")(scope, receive, send)
            return
        if body is None:
            await respond(scope["path"], 413, f"The body is larger than {MOST_BYTES} bytes.")(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


async def _read(receive: Receive) -> bytes | None:
    """Return the body, None when it is too large."""
    parts = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts += message.get("body", b"")
        more = message.get("more_body", False)
        if len(parts) > MOST_BYTES:
            return None
    return bytes(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
