"""The command line without a stack: usage, help, what is refused, how it ends."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model.operations import Progress, Step, StepStatus
from starter.cli import session, waiting
from starter.cli.app import app
from starter.cli.panels import Panel

runner = CliRunner()

COMMANDS = [
    "up", "down", "doctor", "install-service", "migrate-stack", "dashboard", "plans", "create", "list", "status",
    "destroy", "adopt", "users list",
    "users create", "users set-role", "users delete", "users rotate-password", "users opt-in-roles", "databases list",
    "databases create", "databases delete", "databases extensions list", "databases extensions enable",
    "databases extensions disable", "url", "connect", "proxy", "change-plan", "set-pool-mode", "tls", "allow-list",
    "set-durability", "storage", "restart", "switchover", "failover", "restore", "fork", "backup list", "backup create",
    "backup schedule", "backup verify", "backup remove-kept", "metrics show", "queries running", "queries statements",
    "queries plan", "queries suggest", "queries cancel", "queries end", "operations list", "operations show",
    "operations cancel", "operations retry", "auth token", "auth env", "auth list",
    "auth revoke", "webhooks list", "webhooks create", "webhooks delete", "webhooks secret", "webhooks test",
    "webhooks deliveries", "webhooks replay",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MPG_HOME", str(tmp_path))
    monkeypatch.setenv("MPG_TEMPORAL_PORT", "1")
    monkeypatch.delenv("MPG_DEBUG", raising=False)


def mpg(command: str) -> Result:
    return runner.invoke(app, command.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_org_and_an_example(command: str) -> None:
    result = mpg(f"{command} --help")
    assert result.exit_code == 0
    for part in ("--json", "--org", "Example: "):
        assert part in result.stdout
    example = result.stdout.partition("Example: ")[2]
    assert f"mpg {command}" in " ".join(example.split())


@pytest.mark.parametrize("columns", [80, 120])
def test_help_groups_all_commands_and_cuts_no_sentence_off(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = mpg("--help").stdout
    assert max(len(line) for line in page.splitlines()) <= columns
    assert page.count("...") == 1, "the usage line's"
    sections = [part.splitlines() for part in page.split("\n\n")]
    shown = {lines[0]: [line.split()[0] for line in lines[1:] if line[2] != " "] for lines in sections}
    headings = [f"{panel}:" for panel in Panel if f"{panel}:" in shown]
    assert [heading for heading in shown if heading in headings] == headings, "in the order of the panels"
    assert shown["Recovery:"] == ["adopt", "failover"]
    grouped = [name for heading in headings for name in shown[heading]]
    assert sorted(grouped) == sorted({command.split()[0] for command in COMMANDS})


@pytest.mark.parametrize(
    "command",
    [
        "create", "create --name", "frobnicate", "status", "change-plan orders", "set-pool-mode orders",
        "set-pool-mode orders statement", "users create orders -u app", "users create orders -u app -r owner",
        "users delete orders", "restart orders --node c", "proxy orders -p 70000", "create --name x --volume-size ten",
        "url orders --pooled --direct", "operations show", "plans --wrong", "operations list --limit 0",
        "adopt orders --all", "adopt --all --new-key", "adopt --new-key", "adopt --name x", "adopt a b --name x",
        "adopt orders --new-key", "restore orders", "restore orders --latest --backup-id x", "restore --latest",
        "restore orders --pitr-time 2026-11-28T17:05:00", "restore orders --pitr-time noon",
        "restore orders --pitr-time 2026-11-28T17:05:00Z --latest", "fork", "destroy orders --yes --keep-backups few",
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2_with_a_sentence_on_stderr(command: str) -> None:
    result = mpg(command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert "Value error" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "destroy orders",
        "destroy orders --keep-backups 0",
        "users delete orders -u app",
        "databases delete orders -n shop",
        "failover orders --accept-loss",
    ],
)
def test_what_removes_data_wants_yes(command: str) -> None:
    result = mpg(command)
    assert result.exit_code == 2
    assert result.stderr.endswith("Say so with --yes.\n")


@pytest.mark.parametrize(
    "command",
    [
        "list", "list --json", "status orders", "create --name orders", "destroy orders --yes", "url orders",
        "connect orders", "proxy orders", "users list orders", "users create orders -u app -r writer",
        "databases list orders", "databases extensions list orders", "change-plan orders starter",
        "set-pool-mode orders session", "storage orders", "storage orders --grow-to 20", "restart orders",
        "switchover orders", "failover orders", "operations list",
        "operations show change-plan/orders/1", "operations cancel change-plan/orders/1", "adopt",
        "adopt --all", "adopt orders", "restore orders --latest", "restore orders --pitr-time 2026-11-28T17:05:00Z",
        "restore orders --backup-id 20261128-021500F --name x", "fork orders", "fork orders --name x",
    ],
)  # fmt: skip
def test_stack_that_is_down_is_one_sentence_and_exit_1(command: str) -> None:
    begun = time.monotonic()
    result = mpg(command)
    assert time.monotonic() - begun < 10
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: Temporal does not answer at 127.0.0.1:1. Start the stack with 'mpg up'.\n"


def test_wrong_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_TEMPORAL_PORT", "many")
    result = mpg("list")
    assert result.exit_code == 2
    assert "MPG_TEMPORAL_PORT" in result.stderr


def test_plans_are_shown_and_printed() -> None:
    shown = mpg("plans")
    assert shown.exit_code == 0
    for name in ("basic", "starter", "launch", "scale", "performance"):
        assert name in shown.stdout
    printed = json.loads(mpg("plans --json").stdout)
    assert printed[0]["name"] == "basic"
    assert printed[0]["memory_mb"] == 1024


def test_unexpected_error_is_a_sentence_and_a_log_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("postgresql://app:hunter2@h/db")

    monkeypatch.setattr("starter.cli.clusters.with_client", broken)
    result = mpg("list")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: Something unexpected happened (ZeroDivisionError). The details are in {tmp_path}/logs/cli.log.\n"
    )
    log = (tmp_path / "logs" / "cli.log").read_text()
    assert "Traceback" in log
    assert "hunter2" not in log


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("MPG_DEBUG", "1")
    monkeypatch.setattr("starter.cli.clusters.with_client", broken)
    assert "Traceback" in mpg("list").stderr


def test_program_ends_with_its_exit_code_when_nothing_answers() -> None:
    """As a process: threads of Temporal's client must not abort it at its end."""
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-c", "from starter.cli import main; main()", "list"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (1, "")


def test_plans_answer_without_importing_temporal() -> None:
    code = "import sys; from starter.cli.app import app; print([m for m in sys.modules if m.startswith('temporalio')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# --- waiting ----------------------------------------------------------------------------------------------------------


def progress(*steps: tuple[str, StepStatus]) -> Progress:
    made = tuple(
        Step(name=name, status=status, seconds=None if status in ("pending", "running") else 1.25)
        for name, status in steps
    )
    return Progress(type="ChangePlan", cluster_id="0" * 16, phase="p", steps=made)


def test_lines_say_each_change_of_a_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = waiting.Lines()
    running, done = StepStatus.RUNNING, StepStatus.DONE
    lines.update(progress(("stop", running), ("start", StepStatus.PENDING)))
    lines.update(progress(("stop", running), ("start", StepStatus.PENDING)))
    lines.update(progress(("stop", done), ("start", running)))
    lines.update(progress(("stop", StepStatus.UNDONE), ("start", StepStatus.FAILED)))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "… stop",
        "✓ stop (1.2 s)",
        "… start",
        "↩ stop, undone (1.2 s)",
        "✗ start, failed (1.2 s)",
    ]


def test_bar_shows_steps_and_leaves_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = waiting.Bar("change-plan/orders/1")
    bar.update(progress(("stop [old]", StepStatus.DONE), ("start", StepStatus.RUNNING)))
    bar.close()
    assert "✓ stop [old] (1.2 s)" in capsys.readouterr().err


def test_confirmation_without_a_terminal_needs_yes() -> None:
    session.confirm("It goes.", yes=True)
    with pytest.raises(Exception, match="Say so with --yes"):
        session.confirm("It goes.", yes=False)
