"""The process: ``python -m starter.api``, a part of the stack."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from temporalio.client import Interceptor

from model.errors import MpgError, Refused
from model.settings import LOOPBACK, Settings, load_settings
from starter.api.app import make_app
from starter.api.certificate import ServedCertificate
from starter.client import MpgClient
from starter.leave import leave
from starter.logs import configure_logging
from starter.tokens.keyring import Keyring
from starter.traces import client_spans, trace_requests, traced

GRACE_SECONDS = 4
"""How long answers that are under way may take once the process is told to end."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StackDown where Temporal does not answer at the start, and Refused."""
    keyring = Keyring(settings.api_dir)
    keyring.prepare()
    listener = listen(settings.api_port)
    with traced(settings, "api", client_spans) as interceptors:
        await _serve(settings, keyring, listener, interceptors)


async def _serve(
    settings: Settings, keyring: Keyring, listener: socket.socket, interceptors: Sequence[Interceptor]
) -> None:
    async with MpgClient.connect(settings, interceptors=interceptors) as mpg:
        app = make_app(mpg.keeping_views(), keyring)
        trace_requests(app, settings)
        certificate = ServedCertificate(settings) if settings.api_tls else None
        config = uvicorn.Config(
            app,
            log_config=None,  # its loggers end in ours
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_certfile=certificate and certificate.file,
        )
        config.load()
        async with _renewed(certificate, config.ssl):
            await _Server(config, at_end=app.state.events.close).serve(sockets=[listener])


@asynccontextmanager
async def _renewed(certificate: ServedCertificate | None, serving: ssl.SSLContext | None) -> AsyncGenerator[None]:
    """Keep *certificate* renewed during the block, where there is TLS."""
    if certificate is None or serving is None:
        yield
        return
    keeping = asyncio.create_task(certificate.keep_renewed(serving))
    try:
        yield
    finally:
        keeping.cancel()


class _Server(uvicorn.Server):
    """Ends open event streams when it is told to end, for which it would wait otherwise."""

    def __init__(self, config: uvicorn.Config, *, at_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._at_end = at_end
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._at_end)
        super().handle_exit(sig, frame)


def listen(port: int) -> socket.socket:
    """Return a socket that has *port* of loopback. Raises Refused where another program has it."""
    # Named, the protocol is known of each connection: else asyncio leaves small writes to Nagle, 40 ms for an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        remedy = "Set MPG_API_PORT to a free port, or stop what listens there."
        raise Refused(f"Port {port} of {LOOPBACK} is in use by another program.", remedy=remedy) from None
    return listener


def main() -> None:
    """Run the API of this environment's settings."""
    try:
        settings = load_settings()
        configure_logging(settings)
        asyncio.run(serve(settings))
    except MpgError as error:
        print(error, file=sys.stderr)
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
