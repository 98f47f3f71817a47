"""The request that an action shows is one that the API has, with a body that its description allows."""

import re
from typing import Any

import jsonschema_rs
import pytest

from model.operations import DEFAULT_DAYS_KEPT
from starter.dashboard.acting import ACTIONS
from starter.dashboard.calls import HttpCall, http_call
from tests.unit.starter.dashboard.test_actions import GIVEN, TO_A_TIME
from tests.unit.starter.dashboard.test_health import view

WHOLE = GIVEN | {"node": "", "keep_backups_days": str(DEFAULT_DAYS_KEPT)}


def _route(described: dict[str, Any], call: HttpCall) -> dict[str, Any]:
    """Return what is said of the route that takes *call*."""
    path = call.path.partition("?")[0]
    for known, methods in described["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(known).replace(r"\{operation\}", ".+"))
        if re.fullmatch(pattern, path) and call.method.lower() in methods:
            return methods[call.method.lower()]
    raise AssertionError(f"There is no {call.method} {path}.")


@pytest.mark.parametrize("given", [WHOLE, GIVEN, GIVEN | TO_A_TIME, GIVEN | {"step_gb": "0", "shown": "192.0.2.0/25"}])
@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_request_is_one_that_the_api_takes(name: str, given: dict[str, str], described: dict[str, Any]) -> None:
    call = http_call(name, view(), ACTIONS[name].values(given))
    assert call is not None
    check_taken(described, call)


def check_taken(described: dict[str, Any], call: HttpCall) -> None:
    """Assert that the API has a route for *call*, and that its body is like that."""
    body = _route(described, call).get("requestBody")
    assert (call.body is not None) >= bool(body and body.get("required"))
    if call.body is not None:
        assert body is not None
        schema = body["content"]["application/json"]["schema"] | {"components": described["components"]}
        assert jsonschema_rs.is_valid(schema, call.body), call


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("auto-grow", {"operation": "GrowStorage", "auto_grow_step_gb": 10, "auto_grow_max_gb": 100}),
        ("destroy", {"operation": "DestroyCluster", "keep_backups_days": 3}),
        ("opt-in-roles", {"operation": "OptInRoles"}),
        ("restart", {"operation": "Restart", "node": "a"}),
        ("set-allow-list", {"operation": "SetAllowList", "add": ["192.0.2.0/24", "198.51.100.7"], "remove": []}),
        ("set-tls", {"operation": "SetTls", "required": True}),
        ("verify", {"operation": "VerifyBackup", "backup_id": GIVEN["backup_id"]}),
    ],
)
def test_what_has_no_route_of_its_own_is_an_operation(name: str, body: dict[str, Any]) -> None:
    call = http_call(name, view(), ACTIONS[name].values(GIVEN))
    assert call == HttpCall("POST", f"/api/v1/postgresv2/{view().state.spec.id}/operations", body)


def test_request_is_a_command_with_the_token_of_the_environment() -> None:
    call = http_call("change-plan", view(), ACTIONS["change-plan"].values(GIVEN))
    assert call is not None
    assert call.as_curl("http://127.0.0.1:4280/") == (
        f"curl -X PATCH http://127.0.0.1:4280/api/v1/postgresv2/{view().state.spec.id}"
        """ -H "Authorization: Bearer $FLY_ACCESS_TOKEN" --json '{"plan": "launch"}'"""
    )
