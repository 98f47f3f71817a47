"""A real Prometheus for tests: Debian's program, unpacked and not installed, on a port and a directory of its own."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from cli_program import free_port

from starter.prerequisites.paths import cache_dir

BOUND_S = 60.0
_CONFIGURATION = """
global: {{scrape_interval: {interval}}}
scrape_configs: [{{job_name: mpg, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


def program(name: str = "prometheus") -> Path:
    """Return the path of a program of Debian's package, which is unpacked where it is not installed."""
    if found := shutil.which(name):
        return Path(found)
    kept = cache_dir() / "prometheus-of-tests"
    if not (kept / "usr" / "bin" / name).exists():
        kept.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=kept, check=True, capture_output=True)
        [package] = kept.glob("prometheus_*.deb")
        subprocess.run(["dpkg", "-x", package, kept], check=True)
        package.unlink()
    return kept / "usr" / "bin" / name


@contextmanager
def exporter(expose: Callable[[], str]) -> Generator[int]:
    """Serve what *expose* returns at ``/metrics``; lend the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = expose().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def backfill(home: Path, lines: Iterable[str]) -> None:
    """Write *lines*, samples with their times, into the data of a Prometheus that does not run yet."""
    text = home / "samples.txt"
    text.write_text("".join(f"{line}\n" for line in lines) + "# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q", text, home / "data"]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def prometheus(home: Path, *, port: int = 0, scraped: int | None = None, interval: str = "1s") -> Generator[str]:
    """Run one on *port* that keeps its data in *home* and scrapes *scraped*, if any; lend its URL once it is ready."""
    configuration = home / "prometheus.yml"
    configuration.write_text("" if scraped is None else _CONFIGURATION.format(port=scraped, interval=interval))
    url = f"http://127.0.0.1:{port or free_port()}"
    with (home / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program(),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={home / 'data'}",
                "--storage.tsdb.retention.time=31d",
                f"--web.listen-address={url.removeprefix('http://')}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _await_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=BOUND_S)


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        assert process.poll() is None, "Prometheus ended."
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("Prometheus is not ready.")
