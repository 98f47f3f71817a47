"""Prerequisites: what is decided from what a machine has. Nothing is installed here."""

import os
import sys
import tarfile
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from images.recipe import Recipe, build_context, recipe_for
from model.errors import InvalidInput
from model.master_key import load_or_create_master_key
from model.secrets import key_id
from model.settings import Settings, load_settings
from starter.prerequisites import check, node_image
from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.engine import Facts, Step, forget_stale_pids, steps
from starter.prerequisites.result import CheckName, CheckResult, CheckState, Missing
from starter.prerequisites.temporal_binary import candidates
from starter.stack.part_runner import LOG_BYTES, bound_log

DEBIAN_ROOT = Facts(remote=False, installed=True, root=True, can_install=True, systemd=False, init_script=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (DEBIAN_ROOT, [Step.SERVICE, Step.DAEMON]),
        (DEBIAN_ROOT._replace(systemd=True), [Step.SYSTEMCTL]),
        (DEBIAN_ROOT._replace(init_script=False), [Step.DAEMON]),
        (DEBIAN_ROOT._replace(installed=False, init_script=False), [Step.INSTALL, Step.DAEMON]),
        (DEBIAN_ROOT._replace(can_install=False), [Step.SERVICE, Step.DAEMON]),
    ],
)
def test_an_engine_is_started_the_way_its_machine_starts_services(facts: Facts, expected: list[Step]) -> None:
    assert steps(facts) == expected


@pytest.mark.parametrize(
    ("facts", "said", "remedy"),
    [
        (DEBIAN_ROOT._replace(remote=True), "configured", "MPG_DOCKER_HOST"),
        (DEBIAN_ROOT._replace(installed=False, can_install=False), "not installed", "root on Debian"),
        (DEBIAN_ROOT._replace(root=False, can_install=False), "this user", "group 'docker'"),
    ],
)
def test_an_engine_that_can_not_be_had_from_here_comes_with_a_remedy(facts: Facts, said: str, remedy: str) -> None:
    with pytest.raises(Missing) as caught:
        steps(facts)
    assert said in caught.value.detail
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("content", ["", "999999999", str(os.getpid())], ids=["empty", "nobody", "another program"])
def test_only_a_pid_file_of_a_running_engine_is_kept(tmp_path: Path, content: str) -> None:
    stale = tmp_path / "docker.pid"
    stale.write_text(content)
    forget_stale_pids({stale: "dockerd"})
    assert not stale.exists()

    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    current = tmp_path / "own.pid"
    current.write_text(f"{os.getpid()}\n")
    forget_stale_pids({current: name, tmp_path / "absent.pid": "dockerd"})
    assert current.exists()


def test_temporal_on_path_comes_before_built_ones(settings: Settings, tmp_path: Path) -> None:
    on_path = tmp_path / "path" / "temporal"
    on_path.parent.mkdir()
    on_path.touch(mode=0o755)
    found = candidates(settings, {"PATH": str(on_path.parent), "HOME": "/h"}, tmp_path / "cache")
    assert found == [
        on_path,
        settings.home / "bin" / "temporal",
        tmp_path / "cache" / "bin" / "temporal",
        Path("/h/go/bin/temporal"),
    ]


def test_a_failed_command_tells_its_own_error() -> None:
    with pytest.raises(CommandFailed, match="E: no such package"):
        run(["sh", "-c", "echo 'E: no such package'; echo more; exit 100"], on_line=print, timeout=10)


def test_a_command_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starter.prerequisites.command.PROGRESS_SECONDS", 0.05)
    lines: list[str] = []
    with pytest.raises(CommandFailed, match="longer than"):
        run(["sh", "-c", "echo at work; exec sleep 60"], on_line=lines.append, timeout=0.3)
    assert lines[-1].endswith("at work")


def test_a_command_that_ctrl_c_ended_is_not_one_that_failed() -> None:
    """What failed is tried in another way; what was interrupted is not."""
    interrupted = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)"
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", interrupted], on_line=print, timeout=30)


def test_a_command_that_is_not_there_says_so() -> None:
    with pytest.raises(CommandFailed, match="no-such-program"):
        run(["no-such-program"], on_line=print, timeout=1)


def test_only_a_failed_check_has_not_passed() -> None:
    results = [CheckResult(name=CheckName.DOCKER, state=state, detail="", seconds=0) for state in CheckState]
    assert [result.passed for result in results] == [True, True, False, True]


def test_a_postgres_version_that_no_debian_ships_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Postgres 16") as caught:
        recipe_for(16)
    assert "15 or 17" in caught.value.remedy


def test_an_older_postgres_comes_from_an_older_debian() -> None:
    recipe = recipe_for(15)
    assert recipe.base_image == "debian:bookworm-slim"
    assert "postgresql-15-pgvector" in recipe.packages


def test_postgis_is_in_the_image_that_has_it_and_in_no_other() -> None:
    plain, with_postgis = set(recipe_for(17).packages), set(recipe_for(17, postgis=True).packages)
    assert with_postgis - plain == {"postgresql-17-postgis-3", "postgresql-17-postgis-3-scripts"}
    assert plain < with_postgis


async def test_doctor_asks_for_the_image_with_postgis_where_it_is_wanted(tmp_path: Path) -> None:
    no_engine = load_settings(home=tmp_path, docker_host="tcp://127.0.0.1:9")
    assert CheckName.POSTGIS_IMAGE not in {result.name for result in await check(no_engine)}
    checks = {result.name: result for result in await check(no_engine.model_copy(update={"postgis": True}))}
    assert list(checks) == list(CheckName)


async def test_doctor_misses_a_master_key_only_where_there_was_one(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, docker_host="tcp://127.0.0.1:9")

    async def key() -> CheckResult:
        return next(result for result in await check(settings) if result.name is CheckName.MASTER_KEY)

    assert (await key()).detail == "the first 'mpg up' makes it"
    made = load_or_create_master_key(settings.master_key_file)
    assert (await key()).detail == f"its id is {key_id(made)}"
    settings.master_key_file.unlink()
    assert (await key()).state is CheckState.FAILED
    assert "mpg up --new-key" in (await key()).remedy


async def test_doctor_without_an_engine_tells_what_it_cannot_see(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, docker_host="tcp://127.0.0.1:9", postgis=True)
    images = [result for result in await check(settings) if result.name.endswith("image")]
    assert [(image.state, image.remedy) for image in images] == [
        (CheckState.FAILED, "Start the Docker engine first.")
    ] * 2


@pytest.mark.parametrize(
    ("there", "registry", "mirror", "expected"),
    [
        ({"own"}, True, True, ["build on own"]),
        ({"plain"}, True, True, ["build on plain"]),
        ({"plain"}, True, False, ["build on plain", "bootstrap own", "build on own"]),
        (set[str](), True, True, ["ask the registry", "build on debian:trixie-slim"]),
        (set[str](), False, True, ["ask the registry", "bootstrap own", "build on own"]),
    ],
)
def test_image_with_postgis_is_built_on_the_nearest_base_there_is(
    monkeypatch: pytest.MonkeyPatch, there: set[str], registry: bool, mirror: bool, expected: list[str]
) -> None:
    """``own`` is the root filesystem with every package, ``plain`` the one below the plain image."""
    recipe = recipe_for(17, postgis=True)
    done: list[str] = []

    def base_of(asked: Recipe) -> str:
        return "own" if asked == recipe else "plain"

    def label(_client: object, tag: str) -> str | None:
        return "" if tag in there else None

    def pull(*_: object) -> bool:
        done.append("ask the registry")
        return registry

    def build(_client: object, _recipe: Recipe, _tag: str, base: str, _on_progress: object) -> None:
        done.append(f"build on {base}")
        if base != "own" and not mirror:
            raise CommandFailed("the mirror does not answer")

    def bootstrap(_client: object, base: str, *_: object) -> None:
        done.append(f"bootstrap {base}")

    stand_ins = {"_bootstrapped_base": base_of, "version_of": label, "pull": pull, "_build": build}
    for name, function in (stand_ins | {"bootstrap": bootstrap}).items():
        monkeypatch.setattr(node_image, name, function)
    node_image.build_from_any_base(MagicMock(), recipe, "tag", load_settings(), print)
    assert done == expected


def test_whatever_shapes_the_image_changes_its_version() -> None:
    versions = {recipe_for(17).version, recipe_for(17, postgis=True).version, recipe_for(15).version}
    assert len(versions) == 3
    assert recipe_for(17).version == recipe_for(17).version


def test_the_build_context_holds_the_recipe_and_runnable_entrypoints() -> None:
    names = ("drill", "endpoint", "node", "pooler", "recovery", "restore")
    entrypoints = {f"entrypoints/{name}" for name in names}
    with tarfile.open(fileobj=build_context()) as tar:
        modes = {member.name: member.mode & 0o111 for member in tar}
    assert set(modes) == {"Dockerfile", "packages.txt"} | entrypoints
    assert all(modes[name] for name in entrypoints)


def test_a_log_that_grew_too_long_is_moved_aside_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab") as writer:
        writer.write(b"x" * (LOG_BYTES + 1))
        writer.flush()
        bound_log(log)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "worker.log.1").stat().st_size == LOG_BYTES + 1
