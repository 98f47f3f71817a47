"""Actions: the command line that each shows is one that mpg takes, and says what it does before it does it."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starter.cli.app import app
from starter.dashboard.acting import ACTIONS
from starter.dashboard.backups.actions import utc
from tests.unit.starter.dashboard.test_health import view

GIVEN = {
    "username": "app", "role": "writer", "database": "shop", "extension": "hstore", "plan": "launch", "node": "a",
    "pool_mode": "session", "durability": "async",
    "storage_gb": "20", "keep_backups_days": "3", "type": "full", "name": "copy",
    "backup_id": "20260301-120000F", "time": "2026-03-01 12:00:00", "force": "yes",
    "networks": "192.0.2.0/24, 198.51.100.7", "shown": "", "tls": "required", "step_gb": "10", "max_gb": "100",
    "full": "0 2 * * 0", "incr": "0 2 * * 1-6", "drill": "off", "keep_full": "2", "keep_days": "7",
}  # fmt: skip
TO_A_TIME = GIVEN | {"backup_id": ""}


@pytest.mark.parametrize("given", [GIVEN, TO_A_TIME], ids=["all", "to a time"])
@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_command_line_is_one_that_is_understood(
    name: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MPG_HOME", str(tmp_path))
    monkeypatch.setenv("MPG_TEMPORAL_PORT", "1")
    action = ACTIONS[name]
    words = shlex.split(action.command_line(view(), action.values(given)))
    result = CliRunner().invoke(app, words[1:])
    assert words[0] == "mpg"
    assert result.exit_code == 1, result.stderr
    assert "Temporal" in result.stderr, "all that is wrong is that there is no stack"


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_says_what_will_happen(name: str) -> None:
    action = ACTIONS[name]
    said = [action.title(view(), action.values(GIVEN)), *action.effects(view(), action.values(GIVEN))]
    assert len(said) > 1
    assert all(text == text.strip() and text for text in said)
    assert {each.name for each in action.fields} <= set(GIVEN)


@pytest.mark.parametrize(
    ("entered", "time"),
    [
        ("", ""),
        ("2026-03-01T14:05", "2026-03-01T14:05:00Z"),
        (" 2026-03-01 14:05:09 ", "2026-03-01T14:05:09Z"),
        ("2026-03-01T14:05:09+02:00", "2026-03-01T14:05:09+02:00"),
    ],
)
def test_times_are_utc_where_nothing_else_is_said(entered: str, time: str) -> None:
    assert utc(entered) == time


@pytest.mark.parametrize(
    ("node", "said"),
    [("", "restarted first and takes over"), ("a", "The replica takes over"), ("b", "Replica b is restarted")],
)
def test_restart_of_one_node_says_what_becomes_of_that_one(node: str, said: str) -> None:
    effects = " ".join(ACTIONS["restart"].effects(view(), {"node": node}))
    assert said in effects
    assert ("wait once" in effects) == (node != "b")
