"""Statements as spans of a trace, where one is recorded: what was done where, and never a statement's text."""

from typing import Any, Self

import psycopg
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from psycopg import AsyncCursor
from psycopg.abc import Params
from psycopg.rows import Row
from psycopg.sql import Composable

_TRACER = trace.get_tracer(__name__)


class TracedCursor(AsyncCursor[Row]):
    """A cursor whose statements are spans, named by OpenTelemetry's conventions for databases.

    Texts stay out: there are verifiers of passwords in some.
    """

    async def execute(
        self, query: Any, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Execute as psycopg does, in a span where the caller is in one that is recorded."""
        if not trace.get_current_span().is_recording():
            return await super().execute(query, params, prepare=prepare, binary=binary)
        info, command = self.connection.info, _command(query)
        attributes: dict[str, Any] = {
            "db.system.name": "postgresql",
            "db.operation.name": command,
            "db.namespace": info.dbname,
            "server.address": info.host,
        }
        with _TRACER.start_as_current_span(
            f"{command} {info.dbname}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await super().execute(query, params, prepare=prepare, binary=binary)
            except psycopg.Error as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("db.response.status_code", error.sqlstate or type(error).__name__)
                raise


def _command(query: object) -> str:
    """Return the first word of *query*."""
    if isinstance(query, Composable):
        text = query.as_string(None)
    else:
        text = query.decode(errors="replace") if isinstance(query, bytes) else str(query)
    return next(iter(text.split()), "").rstrip(";").upper()
