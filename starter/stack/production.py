"""The production stack of docker-compose.yml, as a program on its host drives it."""

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from model.errors import InvalidInput, StackDown
from model.settings import LOOPBACK, Settings
from starter.prerequisites.compose import find_compose

UP_SECONDS = 900.0
"""How long compose may take to bring it up: images are fetched or built the first time."""
WELL_SECONDS = 120.0
COMMAND_SECONDS = 120.0
KEPT_UP = ("postgresql", "temporal", "temporal-ui", "worker", "api", "prometheus")
HOME = "/var/lib/mpg"
"""Where the volume with the state directory is in its containers."""
_POLL_SECONDS = 0.5
_COMPOSED = frozenset({"temporal_port", "temporal_ui_port", "prometheus_port", "metrics_seconds", "metrics_days"})
"""Settings that docker-compose.yml itself goes by, so that they are in its environment."""
_OTHERWISE = frozenset(
    {
        "home",
        "temporal_address",
        "temporal_ui_url",
        "docker_host",
        "worker_processes",
        "worker_module",
        "metrics_port",
        "prometheus_binary",
    }
)
"""Settings that have another value there."""


class ProductionStack:
    """The stack that a compose file describes, with the settings that the embedded stack of a state directory has."""

    def __init__(self, files: Sequence[Path], settings: Settings) -> None:
        """Drive the stack of *files*, the first of which is docker-compose.yml.

        Raises:
            Missing: there is no Docker compose.
            InvalidInput: one of *files* is not there.
        """
        for file in files:
            if not file.is_file():
                remedy = "Name the stack's docker-compose.yml with --file."
                raise InvalidInput(f"There is no file {file}.", remedy=remedy)
        self._command = [*find_compose(), *(f"--file={file.absolute()}" for file in files)]
        self._settings = settings
        ours = settings.child_environment(os.environ)
        others = {f"MPG_{name.upper()}" for name in Settings.model_fields.keys() - _COMPOSED}
        if settings.prometheus_port == 0:
            others.add("MPG_PROMETHEUS_PORT")  # left out here; there it is a service
        asked = {name: os.environ[name] for name in ("MPG_METRICS_PORT",) if name in os.environ}
        self._environment = {name: value for name, value in ours.items() if name not in others} | asked

    @property
    def settings(self) -> Settings:
        """Return the settings with which a program on the host is a client of it."""
        address = f"{LOOPBACK}:{self._settings.temporal_port}"
        return self._settings.model_copy(update={"temporal_address": address})

    def key_id(self) -> str:
        """Return the id of the master key that it has served with; empty for one that never served."""
        return self._in_home(f"cat {HOME}/master.key.id 2>/dev/null || true").strip()

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write private *files*, by their paths in the state directory, into the one that it has."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
                tar.addfile(entry, io.BytesIO(content))
        self._in_home(f"umask 077; tar --extract --directory={HOME}", given=packed.getvalue())

    def up(self) -> None:
        """Bring it up, and return once all of it is well. Raises :class:`StackDown`."""
        self._run(["up", "--detach"], UP_SECONDS)
        deadline = time.monotonic() + WELL_SECONDS
        while unwell := [each for each in KEPT_UP if not self._is_well(each)]:
            if time.monotonic() > deadline:
                said = self._run(["logs", "--no-color", "--tail=3", *unwell], COMMAND_SECONDS).strip()
                raise StackDown(f"Not well after {WELL_SECONDS:g} s: {', '.join(unwell)}. They said:\n{said}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop all of it; its volumes stay. Raises :class:`StackDown`."""
        self._run(["stop"], COMMAND_SECONDS)

    def _is_well(self, service: str) -> bool:
        container = self._run(["ps", "--quiet", service], COMMAND_SECONDS).strip()
        if not container:
            return False
        found: list[dict[str, Any]] = json.loads(_output(["docker", "inspect", container], COMMAND_SECONDS))
        return is_well(found[0]["State"])

    def _in_home(self, script: str, given: bytes = b"") -> str:
        once = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "prepare", "-c", script]
        return self._run(once, UP_SECONDS, given)

    def _run(self, arguments: Sequence[str], seconds: float, given: bytes = b"") -> str:
        return _output([*self._command, *arguments], seconds, given, self._environment)


def is_well(state: Mapping[str, Any]) -> bool:
    """Tell by what the engine says of a container's *state* whether it runs, and is healthy where that is looked at."""
    return state["Running"] and state.get("Health", {}).get("Status", "healthy") == "healthy"


def settled_settings(settings: Settings) -> dict[str, Any]:
    """Return those of *settings* that are set, as they stand in a file of settings: secrets are readable in it."""
    names = settings.model_fields_set - _COMPOSED - _OTHERWISE
    values = settings.model_dump(mode="json", include=names, exclude_none=True)
    secret = {name: value for name in names if isinstance(value := getattr(settings, name), SecretStr)}
    return values | {name: value.get_secret_value() for name, value in secret.items()}


def _cause(said: str, code: int) -> str:
    """Return what of all that compose *said* tells why it failed: its last line does not."""
    lines = said.split("\n")
    errors = dict.fromkeys(line.strip() for line in lines if line.lower().startswith("error"))
    return "; ".join(errors) or said.strip().split("\n")[-1] or f"exit code {code}"


def _output(
    command: Sequence[str], seconds: float, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> str:
    try:
        ended = subprocess.run(list(command), input=given, capture_output=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        raise StackDown(f"'{' '.join(command[:4])} …' took longer than {seconds:g} s.") from None
    if ended.returncode:
        raise StackDown(f"Docker compose failed: {_cause(ended.stderr.decode(errors='replace'), ended.returncode)}")
    return ended.stdout.decode(errors="replace")
