"""Go, and programs that are built with it."""

import shutil
from pathlib import Path

from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.result import OnProgress

BUILD_SECONDS = 900


def find_go() -> str | None:
    """Return Go's command: on PATH, or where its own installer puts it; None where this machine has none."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def install(package: str, directory: Path, on_progress: OnProgress, *, told: str) -> None:
    """Build the program that *package*, with its version, is into *directory*, once *told* was said.

    Raises :class:`CommandFailed`.
    """
    go = find_go()
    if go is None:
        raise CommandFailed("Go is not installed")
    on_progress(told)
    run([go, "install", "-v", package], on_line=on_progress, timeout=BUILD_SECONDS, env={"GOBIN": str(directory)})
