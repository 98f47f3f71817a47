"""How the stack's own Prometheus is found and started."""

from pathlib import Path

import pytest

from model.errors import StackDown
from model.settings import load_settings
from starter.prerequisites.prometheus_binary import candidates, check_prometheus, find_prometheus
from starter.prerequisites.result import Missing
from starter.stack.parts import prometheus_part
from starter.stack.prometheus import RULES, become, command, configuration


def test_it_asks_the_workers_that_announce_themselves_as_often_as_they_read(tmp_path: Path) -> None:
    written = configuration(load_settings(home=tmp_path, metrics_seconds=30))
    assert written["global"]["scrape_interval"] == "30s"
    [job] = written["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [f"{tmp_path}/metrics/targets/*.json"]
    assert written["rule_files"] == [str(RULES)]
    assert RULES.exists()


def test_it_listens_on_loopback_and_keeps_what_the_settings_say(tmp_path: Path) -> None:
    arguments = command(load_settings(home=tmp_path, prometheus_port=1234, metrics_days=7), Path("/bin/prometheus"))
    assert "--web.listen-address=127.0.0.1:1234" in arguments
    assert "--storage.tsdb.retention.time=7d" in arguments
    assert f"--storage.tsdb.path={tmp_path}/prometheus/data" in arguments


def test_program_is_the_one_named_or_that_on_the_path_or_that_of_the_cache(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.touch(0o755)
    settings = load_settings(home=tmp_path)
    environ = {"PATH": str(tmp_path)}
    assert candidates(settings, environ, Path("/cache")) == [program, Path("/cache/bin/prometheus")]
    named = settings.model_copy(update={"prometheus_binary": Path("/elsewhere/prometheus")})
    assert candidates(named, environ, Path("/cache")) == [Path("/elsewhere/prometheus")]


def test_stack_without_the_program_has_no_such_part(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, prometheus_binary=tmp_path / "none", prometheus_port=9090)
    assert find_prometheus(settings) is None
    assert prometheus_part(settings) is None
    with pytest.raises(Missing, match="metrics are not kept"):
        check_prometheus(settings)
    with pytest.raises(StackDown):
        become(settings)


def test_prometheus_of_ones_own_or_none_is_none_of_the_stacks(tmp_path: Path) -> None:
    own = load_settings(home=tmp_path, prometheus_url="https://metrics.example/prometheus/")
    assert (own.prometheus_target, own.runs_prometheus) == ("https://metrics.example/prometheus", False)
    assert prometheus_part(own) is None
    none = load_settings(home=tmp_path, prometheus_port=0)
    assert (none.prometheus_target, none.runs_prometheus) == (None, False)
    assert "left out" in check_prometheus(none)
