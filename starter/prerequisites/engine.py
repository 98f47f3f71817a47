"""The Docker engine: find it, start it, or install it on Debian."""

import contextlib
import os
import shutil
import subprocess
import time
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from model.settings import Settings
from starter.prerequisites.command import CommandFailed, apt_install, can_install_packages, run
from starter.prerequisites.result import Missing, OnProgress

PACKAGES = ["docker.io", "iptables"]
PING_SECONDS = 5
START_SECONDS = 30
"""How long an engine may take from its start to its first answer."""

_PID_FILES = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}
_LOG = Path("/var/log/dockerd.log")


class Facts(NamedTuple):
    """What decides how to get an engine that does not answer."""

    remote: bool
    """An address is configured: the engine is somebody else's to start."""
    installed: bool
    """``dockerd`` and ``iptables`` are there."""
    root: bool
    can_install: bool
    """Debian, and root."""
    systemd: bool
    """systemd is PID 1."""
    init_script: bool
    """``service docker start`` exists."""


class Step(Enum):
    """The next thing to try."""

    INSTALL = auto()
    SYSTEMCTL = auto()
    SERVICE = auto()
    DAEMON = auto()


def steps(facts: Facts) -> list[Step]:
    """Return what to try, in this order, until the engine answers.

    Raises:
        Missing: nothing can be done from here; the remedy says what the reader can do.
    """
    if facts.remote:
        raise Missing("The configured Docker engine does not answer.", "Start it, or correct MPG_DOCKER_HOST.")
    if not facts.installed and not facts.can_install:
        raise Missing("The Docker engine is not installed.", "Install it, or run this as root on Debian.")
    if not facts.root:
        raise Missing(
            "The Docker engine does not answer to this user.",
            "Start it, add yourself to the group 'docker', or run this as root.",
        )
    start = [Step.SYSTEMCTL] if facts.systemd else [*([Step.SERVICE] if facts.init_script else []), Step.DAEMON]
    return start if facts.installed else [Step.INSTALL, *start]


def connect(settings: Settings, *, timeout: float = 60) -> docker.DockerClient:
    """Return a client of the engine in *settings*, having asked for its version. *timeout* is per read, in seconds.

    Raises ``docker.errors.DockerException`` when no engine answers.
    """
    if settings.docker_host:
        return docker.DockerClient(base_url=settings.docker_host, timeout=int(timeout))
    return docker.from_env(timeout=int(timeout))


def engine_version(settings: Settings) -> str | None:
    """Return the version of the engine that answers, or None."""
    try:
        with contextlib.closing(connect(settings, timeout=PING_SECONDS)) as client:
            return str(client.version()["Version"])
    except (DockerException, RequestException):
        return None


def check_engine(settings: Settings) -> str:
    """Return what engine answers.

    Raises:
        Missing: none does.
    """
    version = engine_version(settings)
    if version is None:
        raise Missing("The Docker engine does not answer.", "Run: mpg doctor --fix")
    return f"version {version}"


def ensure_engine(settings: Settings, on_progress: OnProgress) -> str:
    """Start the engine, installing it first if need be, and return what answers.

    Raises:
        Missing: it can't be had from here.
    """
    problems: list[str] = []
    todo = steps(_facts(settings))
    while todo:
        step = todo.pop(0)
        try:
            _take(step, on_progress)
        except CommandFailed as error:
            problems.append(str(error))
            if step is Step.INSTALL:
                break
            continue
        if step is Step.INSTALL:
            todo = steps(_facts(settings))  # the package brought its service
        elif _await_answer(settings):
            return check_engine(settings)
    hint = _last_error(_LOG)
    raise Missing(f"The Docker engine could not be started: {'; '.join(problems) or hint}.", f"See {_LOG}.")


def _facts(settings: Settings) -> Facts:
    host = settings.docker_host or os.environ.get("DOCKER_HOST", "")
    return Facts(
        remote=bool(host) and host != "unix:///var/run/docker.sock",
        installed=bool(shutil.which("dockerd") and shutil.which("iptables")),
        root=os.geteuid() == 0,
        can_install=can_install_packages(),
        systemd=Path("/run/systemd/system").is_dir(),
        init_script=Path("/etc/init.d/docker").exists(),
    )


def _take(step: Step, on_progress: OnProgress) -> None:
    match step:
        case Step.INSTALL:
            on_progress("installing " + " and ".join(PACKAGES))
            apt_install(PACKAGES, on_progress)
        case Step.SYSTEMCTL:
            run(["systemctl", "start", "docker"], on_line=on_progress, timeout=60)
        case Step.SERVICE:
            forget_stale_pids()
            run(["service", "docker", "start"], on_line=on_progress, timeout=60)
        case Step.DAEMON:
            forget_stale_pids()
            on_progress("starting dockerd")
            _spawn_daemon()


def _spawn_daemon() -> None:
    with _LOG.open("ab") as log:
        # A session of its own: it outlives this process and is not reached by its Ctrl-C.
        subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")


def forget_stale_pids(pid_files: dict[Path, str] = _PID_FILES) -> None:
    """Remove pid files whose process is gone or is another program: an engine that finds one refuses to start."""
    for path, program in pid_files.items():
        with contextlib.suppress(OSError, ValueError):
            if not _runs(int(path.read_text().strip() or 0), program):
                path.unlink()


def _runs(pid: int, program: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except OSError:
        return False


def _await_answer(settings: Settings) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if engine_version(settings):
            return True
        time.sleep(0.2)
    return False


def _last_error(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-50:]
    except OSError:
        return "it did not answer in time"
    failed = [line for line in lines if "failed" in line.lower()]
    return (failed or lines or ["it did not answer in time"])[-1][:300]
