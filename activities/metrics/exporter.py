"""The metrics of this process over HTTP on loopback, and where they are, for Prometheus (file_sd).

The Temporal SDK shows its own metrics itself, at another port: they are read there and added, so that a worker is one
target.
"""

import fcntl
import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

from activities.fencing import try_lock
from model.settings import LOOPBACK

log = structlog.get_logger()

READ_S = 5.0
"""How long a reader may be silent, and the SDK's metrics may take."""
PATH = "/metrics"


@contextmanager
def exported(
    registry: CollectorRegistry, *, port: int, targets_dir: Path, sdk_port: int | None = None
) -> Generator[int]:
    """Show *registry* on loopback until the block ends, and yield the port.

    That is *port*, or a free one where it is 0 or taken. Prometheus is told by a file in *targets_dir*. With *sdk_port*
    what is shown there is added.
    """
    server = _listen(port, _handler(lambda: generate_latest(registry) + _of_sdk(sdk_port)))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        shown = server.server_address[1]
        with announced(targets_dir, shown):
            yield shown
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def announced(directory: Path, port: int) -> Generator[Path]:
    """Have a file in *directory* name *port* as a target until the block or the process ends.

    It is locked (flock) meanwhile: those that nobody locks are of processes that died, and are removed here.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for other in directory.glob("*.json"):
        if _is_left(other):
            other.unlink(missing_ok=True)
    mine = directory / f"worker-{os.getpid()}.json"
    draft = mine.with_suffix(".draft")
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, json.dumps([{"targets": [f"{LOOPBACK}:{port}"]}]).encode())
        draft.rename(mine)
        yield mine
    finally:
        mine.unlink(missing_ok=True)
        os.close(file)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def _is_left(file: Path) -> bool:
    try:
        opened = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return try_lock(opened, fcntl.LOCK_SH)
    finally:
        os.close(opened)


def _listen(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return _Server((LOOPBACK, port), handler)
    except OSError as error:
        log.warning("the port for metrics is taken; a free one is used", port=port, error=str(error))
        return _Server((LOOPBACK, 0), handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def _of_sdk(port: int | None) -> bytes:
    if port is None:
        return b""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=READ_S)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        return answer.read() if answer.status == http.HTTPStatus.OK else b""
    except (OSError, http.client.HTTPException):
        return b""  # ours are shown all the same
    finally:
        connection.close()


def _handler(render: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = READ_S

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(http.HTTPStatus.NOT_FOUND)
                return
            body = render()
            self.send_response(http.HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: one that reads each 15 s would fill the log."""

    return Handler
