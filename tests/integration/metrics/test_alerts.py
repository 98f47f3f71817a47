"""The alert rules, by Prometheus' own tool, and what each refers to."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from activities.metrics import series
from model.settings import load_settings
from starter.cli.app import app
from starter.prerequisites.prometheus_binary import ensure_prometheus

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[3]
DEPLOY = REPOSITORY / "deploy"
RULES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), prometheus_binary=None)
    return Path(ensure_prometheus(settings, print)).with_name("promtool")


@pytest.mark.parametrize(("what", "file"), [("check", "alerts.yml"), ("test", "alerts.test.yml")])
def test_rules_are_valid_and_do_what_their_tests_say(promtool: Path, what: str, file: str) -> None:
    ended = subprocess.run([promtool, what, "rules", file], cwd=DEPLOY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_tested_both_ways_and_has_a_runbook_that_is_there() -> None:
    cases: list[dict[str, Any]] = [
        case
        for test in yaml.safe_load((DEPLOY / "alerts.test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    for rule in RULES:
        expected = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert set(expected) == {True, False}, rule["alert"]
        assert (REPOSITORY / rule["annotations"]["runbook"]).is_file()
    runbooks = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs" / "runbooks").glob("*.md")}
    assert runbooks == {rule["annotations"]["runbook"] for rule in RULES}
    assert len(RULES) == len({rule["alert"] for rule in RULES})


def test_every_series_has_a_line_in_the_docs() -> None:
    described = (REPOSITORY / "docs" / "metrics.md").read_text()
    ours = [each.name for each in vars(series).values() if isinstance(each, series.Series)]
    for name in (*ours, "mpg_operations_total", "mpg_operation_seconds", "mpg_failovers_total", "mpg_worker_clusters"):
        assert f"| `{name}` |" in described, name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_commands_in_a_runbook_are_real(rule: dict[str, Any]) -> None:
    told = (REPOSITORY / rule["annotations"]["runbook"]).read_text()
    for line in re.findall(r"(?:^ +|`)mpg ([a-z][^`\n#]*)", told, re.MULTILINE):
        command: Any = typer.main.get_command(app)
        words = shlex.split(line)
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {option for each in command.params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
