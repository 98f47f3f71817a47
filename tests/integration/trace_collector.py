"""A collector of traces: it takes what OpenTelemetry's exporter sends over HTTP, and keeps the spans."""

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Seen:
    """A span, as far as tests look at it."""

    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    start_ns: int
    end_ns: int
    attributes: dict[str, str]


class Collector:
    """Takes spans at :attr:`url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw: list[bytes] = []
        self.spans: list[Seen] = []

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {each.key: each.value.string_value for each in group.resource.attributes}
            self.spans += (
                Seen(
                    about["service.name"],
                    span.name,
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {each.key: each.value.string_value for each in span.attributes},
                )
                for scope in group.scope_spans
                for span in scope.spans
            )

    def ancestors(self, span: Seen) -> list[str]:
        """Return the names of the spans that *span* is in, the nearest first."""
        known = {each.id: each for each in self.spans}
        names: list[str] = []
        while (parent := known.get(span.parent)) is not None:
            names.append(parent.name)
            span = parent
        return names


@contextmanager
def collecting() -> Generator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers["Content-Length"]), REQUEST_BYTES))
            collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()
