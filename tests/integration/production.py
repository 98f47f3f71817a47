"""The production stack as tests run it: on images built here, with a name and ports of its own."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import docker
from docker.models.containers import Container
from rig import TEST_LABEL

from model.names import LABEL_MANAGED
from model.settings import load_settings
from starter.prerequisites.command import apt_install, can_install_packages
from starter.prerequisites.compose import find_compose
from starter.prerequisites.engine import connect
from starter.prerequisites.result import Missing
from starter.stack.production import KEPT_UP, is_well
from tests.free_ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ONCE = ("prepare", "temporal-schema", "setup")
"""Services that end when they are done."""
BOUND_S = 120.0
_LABELS = {**TEST_LABEL, LABEL_MANAGED: "true"}
"""By which the containers that a killed run left are found."""


class Incarnation(NamedTuple):
    """Which run of a service's container this is."""

    container: str
    pid: int
    started_at: str


class Production:
    """The stack."""

    def __init__(self, directory: Path, environment: dict[str, str], engine: docker.DockerClient) -> None:
        self.environment = environment
        self.engine = engine
        self.project = environment["COMPOSE_PROJECT_NAME"]
        self.files = (REPOSITORY / "docker-compose.yml", directory / "labels.json")
        self._command = [*_compose(), *(f"--file={file}" for file in self.files)]

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        ended = subprocess.run(
            [*self._command, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-2000:]} {ended.stderr[-2000:]}"
        return ended.stdout

    def mpg(self, *arguments: str, service: str = "worker") -> str:
        """Run the `mpg` of a container of the stack."""
        return self.compose("exec", "-T", service, "mpg", *arguments)

    def container(self, service: str) -> Container:
        chosen: dict[str, Any] = {
            "label": [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        }
        (found,) = self.engine.containers.list(all=True, filters=chosen)
        return found

    def incarnation(self, service: str) -> Incarnation:
        found = self.container(service)
        state: dict[str, Any] = found.attrs["State"]
        return Incarnation(str(found.id), state["Pid"], state["StartedAt"])

    def is_well(self, service: str) -> bool:
        return is_well(self.container(service).attrs["State"])

    def kill(self, service: str) -> Incarnation:
        """End the first process of *service*'s container by SIGKILL, as the kernel would, and return which run it was.

        The engine's own kill would count as a stop that was meant.
        """
        before = self.incarnation(service)
        assert before.pid > 0
        os.kill(before.pid, signal.SIGKILL)
        return before

    def await_well(self, services: Sequence[str] = KEPT_UP) -> None:
        deadline = time.monotonic() + BOUND_S
        while unwell := [each for each in services if not self.is_well(each)]:
            logs = {each: self.container(each).logs(tail=5).decode(errors="replace") for each in unwell}
            assert time.monotonic() < deadline, f"not well after {BOUND_S:g} s: {logs}"
            time.sleep(0.2)


@contextmanager
def production_stack() -> Generator[Production]:
    """Lend a stack that has just been brought up; its clusters are destroyed and it is removed at the end."""
    with described_stack() as made:
        made.compose("up", "--detach")
        made.await_well()
        yield made


@contextmanager
def described_stack() -> Generator[Production]:
    """Lend the same before it was brought up."""
    directory = Path(tempfile.mkdtemp(prefix="mpg"))
    first = 14000 + os.getpid() % 50 * 40
    environment = (
        os.environ
        | _images()
        | {
            "COMPOSE_PROJECT_NAME": f"mpgtest{secrets.token_hex(3)}",
            "MPG_TEMPORAL_PORT": str(free_port()),
            "MPG_TEMPORAL_UI_PORT": str(free_port()),
            "MPG_API_PORT": str(free_port()),
            "MPG_METRICS_PORT": str(free_port()),
            "MPG_METRICS_SECONDS": "2",
            "MPG_PROMETHEUS_PORT": str(free_port()),
            "MPG_PORT_RANGE": f"{first}-{first + 39}",
            "MPG_SUBNET_POOL": f"10.219.{os.getpid() % 256}.0/24",
            "MPG_NODE_IMAGE": load_settings().node_image,
            "MPG_EXTRA_LABELS": json.dumps(TEST_LABEL),
            "MPG_ALLOW_OVERCOMMIT": "true",
            "MPG_ALLOW_STORAGE_OVERCOMMIT": "true",
        }
    )
    labelled = {"labels": _LABELS}
    override = {
        "services": dict.fromkeys((*ONCE, *KEPT_UP), labelled),
        "volumes": dict.fromkeys(("grafana", "home", "prometheus", "secrets", "temporal-db"), labelled),
        "networks": {"default": labelled},
    }
    (directory / "labels.json").write_text(json.dumps(override))
    with contextlib.closing(connect(load_settings())) as engine:
        made = Production(directory, environment, engine)
        try:
            yield made
            for cluster in json.loads(made.mpg("list", "--json")):
                made.mpg("destroy", cluster["id"], "--yes", "--keep-backups", "0")
        finally:
            made.compose("down", "--volumes", "--timeout", "10")
            shutil.rmtree(directory, ignore_errors=True)


def _images() -> dict[str, str]:
    """The images of the stack, built here: nothing is pulled."""
    ended = subprocess.run(
        [sys.executable, "-m", "starter.prerequisites.stack_images"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert ended.returncode == 0
    return dict(line.split("=", 1) for line in ended.stdout.splitlines())


def _compose() -> list[str]:
    """Docker compose, installed from Debian where it is not there."""
    try:
        return find_compose()
    except Missing:
        if not can_install_packages():
            raise
        apt_install(["docker-compose"], print)
        return find_compose()
