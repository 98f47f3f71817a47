"""Traces, where a process is told where to send them: over OTLP/HTTP, to a collector, Jaeger or Tempo.

A trace begins with a request of the HTTP API, or with a client's call, and has the operation that this begins, its
activities, and their SQL. What clusters do by themselves begins none.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from model.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from temporalio.client import Interceptor

T = TypeVar("T")

UNTRACED = "healthz,sign-in,assets/,events$"
"""Paths of no interest, without an end, or with a code that lets somebody in; expressions with commas between."""
_SEND_SECONDS = 3
"""How long sending may take, at the end of the process too."""


@contextmanager
def traced(settings: Settings, service: str, interceptor: Callable[[], T]) -> Generator[Sequence[T]]:
    """Send traces of this process until the block ends, and give what *interceptor* makes for it.

    Nothing, where the settings name no place to send them to. *service* is what the process is called there, behind
    ``mpg-``.
    """
    if settings.traces_url is None:
        yield ()
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"mpg-{service}", "host.name": settings.host_name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url, timeout=_SEND_SECONDS))
    )
    trace.set_tracer_provider(provider)
    try:
        yield (interceptor(),)
    finally:
        provider.shutdown()


def trace_requests(app: "FastAPI", settings: Settings) -> None:
    """Have each request that *app* gets begin a trace, or go on with the one that it says it belongs to."""
    if settings.traces_url is not None:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])


def client_spans() -> "Interceptor":
    """Return what has calls of a Temporal client begin spans."""
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return TracingInterceptor()
