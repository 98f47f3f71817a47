"""Run a command of this machine, saying now and then that it is still at work."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

PROGRESS_SECONDS = 5
"""How often a long command says that it is alive."""

_LAST_LINES = 20


class CommandFailed(Exception):
    """A command ended with an error or outlived its bound; the text is its last meaningful line."""


def run(
    command: list[str],
    *,
    on_line: Callable[[str], None],
    timeout: float,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run *command*; hand *on_line* its latest output every :data:`PROGRESS_SECONDS`.

    Args:
        command: the program and its arguments; no shell is involved.
        on_line: takes one line of progress.
        timeout: in seconds; past it the command is killed.
        env: variables in addition to this process's.

    Raises:
        CommandFailed: it is not there, ended with an error, or took longer than *timeout*.
        KeyboardInterrupt: Ctrl-C ended it, and was meant for whoever ran it too.
    """
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]}: {error.strerror}") from error
    reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
    reader.start()
    try:
        _wait(process, lines, on_line, timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(timeout=1)
    if process.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if process.returncode:
        raise CommandFailed(f"{Path(command[0]).name} ended with {process.returncode}: {_meaningful(lines)}")


def _collect(process: subprocess.Popen[str], lines: deque[str]) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.strip():
            lines.append(line.strip())


def _wait(process: subprocess.Popen[str], lines: deque[str], on_line: Callable[[str], None], timeout: float) -> None:
    started = time.monotonic()
    while True:
        try:
            process.wait(timeout=PROGRESS_SECONDS)
            return
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
        if elapsed > timeout:
            raise CommandFailed(f"{process.args} took longer than {timeout:.0f} s")
        latest = f": {lines[-1][:100]}" if lines else ""
        on_line(f"{elapsed:.0f} s{latest}")


def _meaningful(lines: deque[str]) -> str:
    errors = [line for line in lines if line.lower().startswith(("e:", "error", "fatal"))]
    return (errors or list(lines) or ["no output"])[-1]


def can_install_packages() -> bool:
    """Tell whether packages can be installed here: Debian or a relative of it, as root."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def apt_install(packages: list[str], on_line: Callable[[str], None]) -> None:
    """Install Debian *packages* without recommended ones.

    Raises:
        CommandFailed: apt did not manage; its own error is the text.
    """
    # Another apt may be at work, as on a machine that has just booted: wait for its lock.
    options = ["-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", *options, "update"], on_line=on_line, timeout=180, env=quiet)
    install = ["apt-get", *options, "install", "-y", "--no-install-recommends", *packages]
    run(install, on_line=on_line, timeout=600, env=quiet)
