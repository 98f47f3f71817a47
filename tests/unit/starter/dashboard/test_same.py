"""What pages show as the same: command lines that mpg takes, and requests that the API has."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.operations import FailoverRequest, OperationOutcome
from starter.cli.app import app
from starter.client.connection import EndpointKind
from starter.client.shapes import OperationShape
from starter.dashboard.clusters import DEFAULTS
from starter.dashboard.same import connecting, creating, operating, signalling
from tests.unit.starter.dashboard.test_calls import check_taken
from tests.unit.starter.dashboard.test_health import view

BASE = "http://127.0.0.1:4280/"
CHANGED = OperationShape(
    id="change-plan/orders/k3x9", type="ChangePlan", cluster_id="a" * 16, status=OperationOutcome.CANCELLED
)
FULL = DEFAULTS | {"name": "shop", "plan": "launch", "storage_gb": "20", "postgis_enabled": "yes", "org": "sales"}
SHOWN = {
    "connect": connecting(view(), "app", "fly-db", EndpointKind.READ_ONLY, verify=False),
    "connect, verified": connecting(view(), "app", "fly-db", EndpointKind.DIRECT, verify=True),
    "create": creating(FULL),
    "create, by the defaults": creating(DEFAULTS | {"name": "shop"}),
    "operation": operating(CHANGED),
    "sessions": signalling(view()),
}


@pytest.mark.parametrize("name", SHOWN)
def test_command_lines_are_understood(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MPG_HOME", str(tmp_path))
    monkeypatch.setenv("MPG_TEMPORAL_PORT", "1")
    for line in SHOWN[name].commands:
        words = shlex.split(line.replace("PID", "4711"))
        result = CliRunner().invoke(app, words[1:])
        assert words[0] == "mpg"
        assert "Temporal" in result.stderr, "all that is wrong is that there is no stack"


@pytest.mark.parametrize("name", [name for name, same in SHOWN.items() if same.calls])
def test_requests_are_ones_that_the_api_takes(name: str, described: dict[str, Any]) -> None:
    for call in SHOWN[name].calls:
        check_taken(described, call)


def test_what_was_chosen_is_in_both() -> None:
    same = creating(FULL)
    for word in ("shop", "launch", "20", "sales"):
        assert word in same.commands[0]
        assert word in same.curls(BASE)[0]
    assert "--enable-postgis-support" in same.commands[0]
    assert '"postgis_enabled": true' in same.curls(BASE)[0]


def test_form_with_nothing_in_it_yet_says_what_is_missing() -> None:
    same = creating(DEFAULTS | {"storage_gb": ""})
    assert "--name NAME" in same.commands[0]
    assert "--volume-size GB" in same.commands[0]


def test_what_mends_a_cluster_is_not_said_to_be_tried_again() -> None:
    assert len(operating(CHANGED).commands) == len(operating(CHANGED).calls) == 3
    same = operating(CHANGED.model_copy(update={"type": FailoverRequest.operation}))
    assert not [line for line in (*same.commands, *same.curls(BASE)) if "retry" in line]
