"""The embedded stack as a service of systemd, so that it is up after a boot by itself."""

import os
import pwd
import re
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from model.base import Record
from model.errors import InvalidInput, MpgError, Refused
from model.settings import Settings
from starter.prerequisites.command import CommandFailed, run
from starter.stack.embedded import STOP_SECONDS
from starter.stack.state import is_held, is_production
from starter.stack.supervisor import BESIDE_SECONDS, READY_SECONDS

UNITS = Path("/etc/systemd/system")
"""Where an administrator's units are (systemd.unit(5))."""
RUNNING = Path("/run/systemd/system")
"""There where systemd is the init system (sd_booted(3))."""
KEPT = ("PATH", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "XDG_CACHE_HOME")
"""What of an environment decides which programs and which engine the stack finds, beside its settings."""
_MARGIN_SECONDS = 12
_MARK = "# Made by 'mpg install-service'; said again, it is made anew."
_COMMAND_SECONDS = 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,99}")


class InstalledService(Record):
    """A unit, and whether the stack runs as it (``started``), outside of it (``beside``), or not at all (``down``)."""

    unit: str
    file: str
    stack: Literal["started", "beside", "down"]


def unit_text(settings: Settings, environ: Mapping[str, str], *, program: Path, user: str) -> str:
    """Return the unit that runs ``mpg up`` as *user*, with the settings that *environ* gives now.

    Settings of config.toml are not in it: they are read there at each start.

    Raises:
        InvalidInput: *environ* gives a secret; units are for everybody to read.
    """
    given = {name: f"MPG_{name.upper()}" for name in type(settings).model_fields}
    for name, field in type(settings).model_fields.items():
        if given[name] in environ and "Secret" in str(field.annotation):
            raise InvalidInput(
                f"{given[name]} is set in this environment, and everybody can read a unit.",
                remedy=f"Put {name} into {settings.home / 'config.toml'} and unset the variable.",
            )
    kept = {each: environ[each] for each in (*sorted(given.values()), *KEPT) if each in environ}
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in kept.items() if name != "MPG_HOME"]
    return "\n".join(
        [
            _MARK,
            "[Unit]",
            "Description=Managed Postgres: control plane of this host",
            "Wants=docker.service network-online.target",
            "After=docker.service network-online.target",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={_quoted(str(program), command=True)} up",
            f"User={user}",
            _home_line(settings),
            *lines,
            "Restart=on-failure",
            "RestartSec=2",
            f"TimeoutStartSec={READY_SECONDS + BESIDE_SECONDS + _MARGIN_SECONDS}",
            "# Its parts are stopped by it, in order; what is left of them after that ends with it.",
            "KillMode=mixed",
            f"TimeoutStopSec={STOP_SECONDS + _MARGIN_SECONDS}",
            "LimitNOFILE=65536",
            "OOMScoreAdjust=-500",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def own_unit(settings: Settings) -> str:
    """Return the unit of this program, for whoever has the state directory.

    Raises:
        Refused: there is no state directory, or it is the production stack's.
        InvalidInput: as :func:`unit_text`.
    """
    if is_production(settings.home):
        raise Refused("The clusters of this state directory are the production stack's, which Docker starts at boot.")
    try:
        owner = settings.home.stat().st_uid
    except FileNotFoundError:
        raise Refused(
            f"There is no state directory {settings.home}.", remedy="Run 'mpg up --detach' once, or set MPG_HOME."
        ) from None
    program = Path(sys.executable).with_name("mpg")
    return unit_text(settings, os.environ, program=program, user=pwd.getpwuid(owner).pw_name)


def install(settings: Settings, name: str, say: Callable[[str], None], *, units: Path = UNITS) -> InstalledService:
    """Have systemd start the stack at each boot, and now where it is not up; return how that is.

    Args:
        settings: of the stack.
        name: of the unit, without ``.service``.
        say: takes a line of progress.
        units: the directory of units.

    Raises:
        Refused: systemd does not run here, this is not root, or a unit of that name is another's.
        InvalidInput: as :func:`unit_text`, or *name* is none of a unit.
        MpgError: systemd refused; the unit is there.
    """
    file = _file(units, name)
    text = own_unit(settings)
    _require_systemd()
    there = file.read_text() if file.exists() else ""
    if there and not _is_of(there, settings):
        raise Refused(f"{file} is not the service of {settings.home}.", remedy="Choose another --name.")
    if there != text:
        _write(file, text)
    _systemctl("daemon-reload", say=say)
    _systemctl("enable", file.name, say=say)
    if is_held(settings):
        beside = not _is_active(file.name)
        return InstalledService(unit=file.name, file=str(file), stack="beside" if beside else "started")
    _systemctl("start", file.name, say=say, seconds=READY_SECONDS + BESIDE_SECONDS + 2 * _MARGIN_SECONDS)
    return InstalledService(unit=file.name, file=str(file), stack="started")


def remove(settings: Settings, name: str, say: Callable[[str], None], *, units: Path = UNITS) -> InstalledService:
    """Stop the service and remove its unit; clusters serve on.

    Raises:
        Refused: as :func:`install`, or there is none.
        MpgError: systemd refused.
    """
    file = _file(units, name)
    _require_systemd()
    if not file.exists() or not _is_of(file.read_text(), settings):
        raise Refused(f"{settings.home} has no service {file.name}.")
    _systemctl("disable", "--now", file.name, say=say, seconds=STOP_SECONDS + 2 * _MARGIN_SECONDS)
    file.unlink()
    _systemctl("daemon-reload", say=say)
    return InstalledService(unit=file.name, file=str(file), stack="beside" if is_held(settings) else "down")


def notify_ready() -> None:
    """Tell the service manager that started this process, if one did, that it is ready (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            manager.send(b"READY=1")


def _file(units: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of a unit: letters, digits and -_.:@ are.")
    return units / f"{name}.service"


def _home_line(settings: Settings) -> str:
    return f"Environment={_quoted(f'MPG_HOME={settings.home}')}"


def _is_of(text: str, settings: Settings) -> bool:
    return text.startswith(_MARK) and _home_line(settings) in text.splitlines()


def _quoted(word: str, *, command: bool = False) -> str:
    """Return *word* as a unit's file has it (systemd.syntax(7)); in a *command* line ``$`` is special too."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "%": "%%"} | ({"$": "$$"} if command else {})
    return '"' + "".join(escapes.get(each, each) for each in word) + '"'


def _require_systemd() -> None:
    if not RUNNING.is_dir():
        raise Refused(
            "systemd does not run here.", remedy="'mpg install-service --print' shows the unit, for another machine."
        )
    if os.geteuid() != 0:
        raise Refused("Only root can install a service.", remedy="Run it with sudo, and MPG_HOME where that is set.")


def _write(file: Path, text: str) -> None:
    """Put the file there whole, or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(file)


def _is_active(unit: str) -> bool:
    try:
        run(["systemctl", "--quiet", "is-active", unit], on_line=lambda _: None, timeout=_COMMAND_SECONDS)
    except CommandFailed:
        return False
    return True


def _systemctl(*words: str, say: Callable[[str], None], seconds: float = _COMMAND_SECONDS) -> None:
    try:
        run(["systemctl", *words], on_line=say, timeout=seconds)
    except CommandFailed as error:
        raise MpgError(
            f"'systemctl {' '.join(words)}' failed: {error}", remedy="'journalctl -xe' says more."
        ) from error
