"""The unit of `mpg install-service`: systemd's own tool takes it, and what it must not do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from model.errors import InvalidInput, Refused
from model.settings import load_settings
from starter.prerequisites.command import apt_install
from starter.stack import systemd
from starter.stack.systemd import install, own_unit, remove, unit_text

pytestmark = pytest.mark.integration

PROGRAM = Path(shutil.which("true") or "/bin/true")


@pytest.fixture(scope="module")
def analyze() -> str:
    if shutil.which("systemd-analyze") is None:
        apt_install(["systemd"], print)
    return shutil.which("systemd-analyze") or pytest.fail("There is no systemd-analyze.")


@pytest.mark.parametrize("home", ["state", 'with "quotes" and 100 %', r"back\slash"])
def test_systemd_finds_nothing_wrong_with_it(analyze: str, tmp_path: Path, home: str) -> None:
    settings = load_settings(home=tmp_path / home)
    environ = {"PATH": "/usr/bin:/bin", "MPG_REGION": "eu 1", "MPG_EXTRA_LABELS": '{"team": "100 % $HOME"}'}
    unit = tmp_path / "mpg.service"
    unit.write_text(unit_text(settings, environ, program=PROGRAM, user="root"))
    ended = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)
    about_it = [line for line in ended.stderr.splitlines() if "mpg.service" in line and "docker.service" not in line]
    assert about_it == []
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=never"))
    ended = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)
    assert "kill mode" in ended.stderr, "it would have said so"


def test_secrets_of_the_environment_are_refused(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    with pytest.raises(InvalidInput, match="MPG_BACKUP_S3_KEY is set in this environment"):
        unit_text(settings, {"MPG_BACKUP_S3_KEY": "AKIA"}, program=PROGRAM, user="root")


def test_state_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no state directory"):
        own_unit(load_settings(home=tmp_path / "nowhere"))


def test_unit_of_something_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "RUNNING", tmp_path)
    settings, units = load_settings(home=tmp_path), tmp_path / "units"
    units.mkdir()
    theirs = units / "mpg.service"
    other = unit_text(load_settings(home=tmp_path / "other"), {}, program=PROGRAM, user="root")
    for text in ("[Unit]\nDescription=mine\n", other):
        theirs.write_text(text)
        with pytest.raises(Refused, match="not the service of"):
            install(settings, "mpg", print, units=units)
        with pytest.raises(Refused, match="has no service"):
            remove(settings, "mpg", print, units=units)
        assert theirs.read_text() == text
    assert list(units.iterdir()) == [theirs]


def test_name_that_leaves_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no name of a unit"):
        install(load_settings(home=tmp_path), "../mpg", print, units=tmp_path)


def test_without_systemd_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "RUNNING", tmp_path / "nowhere")
    units = tmp_path / "units"
    units.mkdir()
    with pytest.raises(Refused, match="systemd does not run here"):
        install(load_settings(home=tmp_path), "mpg", print, units=units)
    assert list(units.iterdir()) == []
