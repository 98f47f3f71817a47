"""Requests made by schemathesis from an API's own description, and whether the answers are those that it declares."""

from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BOTH = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
SLOW_OR_LARGE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
_ENDS_IT = ("/restart", "/switchover", "/failover", "/restore", "/fork", "/backups", "/retry")


class Described:
    """An API as schemathesis reads it."""

    def __init__(self, url: str, token: str, known: Mapping[str, str]) -> None:
        """Read the description at *url*. *known* has values for parameters of paths."""
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._known = known

    def operations(self) -> list[Any]:
        """Every route that answers and ends: a stream of events has tests of its own."""
        found: list[Any] = [each.ok() for each in self._schema.get_all_operations()]  # pyright: ignore
        return [each for each in found if "text/event-stream" not in str(each.definition.raw["responses"])]

    def try_out(self, operation: Any, *, examples: int, first_seed: int) -> int:
        """Send *examples* requests that fit the description and as many that do not; return how many were sent.

        Raises schemathesis' failure, with the request, for an answer of 500 and above or one that is not declared.
        """
        sent = 0

        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            self._aim(case, known=sent % 2 == 0)
            case.call_and_validate(headers=self._headers, checks=CHECKS, timeout=60)

        for mode in BOTH:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except Exception as error:  # where nothing can be wrong with a request nothing is sent
                if "negative" not in str(error).lower():
                    raise
                continue
            _run(send, strategy, examples, first_seed)
        return sent

    def _aim(self, case: Any, *, known: bool) -> None:
        """Have the request name what is there, half of the time, unless it would take the cluster away."""
        path, method = case.operation.path, case.method.upper()
        if isinstance(case.body, dict) and "plan" in case.body:
            case.body["plan"] = "none" if isinstance(case.body["plan"], str) else case.body["plan"]
        elif isinstance(case.body, dict) and path.endswith(("/postgresv2", "/v1/postgres")):
            case.body["plan"] = "none"  # nothing here makes a cluster
        takes_it = path.endswith(_ENDS_IT) or (method != "GET" and path.endswith(("/{cluster}", "/operations")))
        if not known or takes_it or not case.path_parameters:
            return
        for name, value in self._known.items():
            if name in case.path_parameters:
                case.path_parameters[name] = value


def _run(send: Callable[[Any], None], strategy: Any, examples: int, first_seed: int) -> None:
    @seed(first_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=SLOW_OR_LARGE,
    )
    @given(case=strategy)
    def each(case: Any) -> None:
        send(case)

    each()
