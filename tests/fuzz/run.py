"""Sending what hypothesis makes, and looking at what comes back: no error of ours, no hang, no growth."""

import http.client
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.fuzz.strategies import FuzzedRequest, requests

LONGEST_S = 60.0
"""For one answer; the API itself waits for a body of 15 s."""
MOST_FAILURES = 20
SLOW_OR_LARGE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


@dataclass
class Report:
    """What was sent and answered."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    kinds: Counter[str] = field(default_factory=Counter[str])
    slowest_s: float = 0.0
    found: list[str] = field(default_factory=list[str])

    def add(self, other: "Report") -> None:
        """Count what *other* counted as well."""
        self.sent += other.sent
        self.statuses += other.statuses
        self.kinds += other.kinds
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.found += other.found

    @property
    def failures(self) -> tuple[str, ...]:
        """The requests that met an error of ours, or no answer, in words."""
        return tuple(self.found)


def routes_of(url: str) -> list[tuple[str, str]]:
    """Return method and path of every route that the API at *url* describes and that ends."""
    paths: Mapping[str, Mapping[str, Any]] = httpx.get(f"{url}/openapi.json", timeout=30).json()["paths"]
    return sorted(
        (method.upper(), path)
        for path, methods in paths.items()
        for method, about in methods.items()
        if "text/event-stream" not in str(about["responses"])
    )


def fuzz(url: str, token: str, known: Mapping[str, str], *, count: int, seed: int, seconds: float = math.inf) -> Report:
    """Send *count* requests to the API at *url*, the same ones for the same *seed*, for *seconds* at most."""
    report, sender, end = Report(), Sender(url, token), time.monotonic() + seconds

    def goes_on() -> bool:
        return len(report.found) < MOST_FAILURES and time.monotonic() < end and report.sent < count

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=SLOW_OR_LARGE,
    )
    @given(request=requests(routes_of(url), known, token))
    def each(request: FuzzedRequest) -> None:
        if goes_on():
            sender.send(request, report)

    while goes_on():  # hypothesis ends early where it repeats itself
        before = report.sent
        each()
        if report.sent == before:
            break
    return report


class Sender:
    """One connection, made anew where the server closed it."""

    def __init__(self, url: str, token: str) -> None:
        """Send to *url*, with *token* where a request has none of its own."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LONGEST_S)
        self._token = token

    def send(self, request: FuzzedRequest, report: Report) -> None:
        """Send *request* and write down what came back."""
        begun = time.monotonic()
        try:
            status = self._status(request)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if isinstance(error, TimeoutError):
                report.found.append(f"no answer in {LONGEST_S:g} s: {request}")
                return
            status = 0
        report.sent += 1
        report.statuses[status] += 1
        report.kinds.update(request.kinds)
        report.slowest_s = max(report.slowest_s, time.monotonic() - begun)
        if status >= 500:
            report.found.append(f"{status}: {request}")

    def _status(self, request: FuzzedRequest) -> int:
        authorization = f"Bearer {self._token}" if request.authorization is None else request.authorization
        headers: dict[str, str | bytes] = {"Content-Type": "application/json"}
        headers |= {name: value.encode("latin-1") for name, value in request.headers}
        headers["Authorization"] = authorization.encode("utf-8")
        self._connection.request(request.method, request.path, body=request.content or None, headers=headers)
        with self._connection.getresponse() as answer:
            answer.read()
            return answer.status
