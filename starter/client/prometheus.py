"""Prometheus' HTTP API, as far as charts need it: values over a range."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import httpx
from pydantic import ValidationError

from model.base import Record
from model.settings import Settings
from starter.client.metric_charts import Window

NO_PROMETHEUS = "There is no Prometheus: MPG_PROMETHEUS_PORT is 0, and MPG_PROMETHEUS_URL is not set."
CONNECT_S = 2.0
ANSWER_S = 10.0
"""Bound on one answer, the wait for its turn included, in seconds. Prometheus is told the same, and gives up too."""


class Found(NamedTuple):
    """A series: its labels, and a value for each point of the window, None where there is none."""

    labels: dict[str, str]
    values: tuple[float | None, ...]


class NoAnswer(Exception):
    """Prometheus did not answer a query; the text is a sentence for people."""


class _Series(Record):
    metric: dict[str, str]
    values: list[tuple[float, float]]


class _Matrix(Record):
    result: list[_Series]


class _Answer(Record):
    data: _Matrix


class Prometheus:
    """Queries of one Prometheus, over connections that are kept while it is asked."""

    def __init__(self, http: httpx.AsyncClient, gate: asyncio.Semaphore) -> None:
        """Ask by *http*, as many at a time as *gate* lets in."""
        self._http = http
        self._gate = gate

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings, gate: asyncio.Semaphore) -> AsyncGenerator[Self]:
        """Ask the Prometheus of *settings*, which must have one. Nothing is asked yet."""
        target = settings.prometheus_target
        assert target is not None
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        # The one on loopback is not reached by way of a proxy of this machine's.
        async with httpx.AsyncClient(
            base_url=target, timeout=timeout, follow_redirects=False, trust_env=settings.prometheus_url is not None
        ) as http:
            yield cls(http, gate)

    async def range(self, query: str, window: Window) -> list[Found]:
        """Return the values of *query*. Raises NoAnswer."""
        form = {
            "query": query,
            "start": str(window.since),
            "end": str(window.until),
            "step": str(window.step),
            "timeout": f"{ANSWER_S:.0f}s",
        }
        try:
            async with asyncio.timeout(ANSWER_S), self._gate:
                answer = await self._http.post("/api/v1/query_range", data=form)
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise NoAnswer("Prometheus does not answer in time.") from error
        except httpx.HTTPError as error:
            raise NoAnswer("Prometheus does not answer.") from error
        if answer.is_error:
            raise NoAnswer(f"Prometheus refuses to answer ({answer.status_code}).")
        try:
            found = _Answer.model_validate_json(answer.content).data.result
        except ValidationError as error:
            raise NoAnswer("What answers where Prometheus should be is none.") from error
        return [Found(each.metric, _on_grid(each.values, window)) for each in found]


def _on_grid(values: list[tuple[float, float]], window: Window) -> tuple[float | None, ...]:
    """Return *values* at the points of *window*: Prometheus leaves out those where there is none."""
    known = {round((at - window.since) / window.step): value for at, value in values}
    placed = (known.get(place) for place in range(len(window.times)))
    return tuple(None if value is None or not math.isfinite(value) else value for value in placed)
