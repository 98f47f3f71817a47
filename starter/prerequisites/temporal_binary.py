"""The program that runs the embedded Temporal: found, downloaded by the SDK, or built with Go."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from model.settings import Settings
from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.go_programs import install
from starter.prerequisites.lock import file_lock
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.programs import first_program, obtain
from starter.prerequisites.result import Missing, OnProgress

VERSION = "v1.5.1"
PACKAGE = f"github.com/temporalio/cli/cmd/temporal@{VERSION}"
TRIAL_SECONDS = 300
"""More than what a trial bounds itself: a download and the start of a server."""
_NAME = "temporal"


def candidates(settings: Settings, environ: Mapping[str, str], cache: Path) -> list[Path]:
    """Return where a ``temporal`` may be, best first: PATH, the state directory, the cache, where Go installs."""
    on_path = shutil.which(_NAME, path=environ.get("PATH", ""))
    go_bin = environ.get("GOBIN") or f"{environ.get('GOPATH') or environ.get('HOME', '') + '/go'}/bin"
    places = [settings.home / "bin", cache / "bin", Path(go_bin)]
    return [*([Path(on_path)] if on_path else []), *(place / _NAME for place in places)]


def find_temporal(settings: Settings) -> Path | None:
    """Return the ``temporal`` to run, or None if this machine has none."""
    return first_program(candidates(settings, os.environ, cache_dir()))


def check_temporal(settings: Settings) -> str:
    """Return which Temporal the stack will use.

    Raises:
        Missing: there is none.
    """
    if not settings.embedded:
        return f"configured: {settings.temporal_target}"
    path = find_temporal(settings)
    if path is None:
        raise Missing("There is no 'temporal' program.", "Run: mpg doctor --fix")
    return str(path)


def ensure_temporal(settings: Settings, on_progress: OnProgress) -> str:
    """Download or build ``temporal`` into the cache and return its path.

    Raises:
        Missing: neither way worked; the remedy names others.
    """
    cache = cache_dir()
    with file_lock(cache / "temporal.lock", on_wait=lambda: on_progress("another process is getting it")):
        found = find_temporal(settings)
        return str(found or _obtain(cache / "bin", on_progress))


def _obtain(directory: Path, on_progress: OnProgress) -> Path:
    """The fast way first: a download takes seconds where there is a network, and is given up after a few elsewhere."""

    def move(program: Path) -> None:
        program.rename(directory / _NAME)

    return obtain(
        directory,
        _NAME,
        [lambda fresh: move(_download(fresh, on_progress)), lambda fresh: move(_build(fresh, on_progress))],
        on_progress,
        otherwise="Install it from temporal.io, or set MPG_TEMPORAL_ADDRESS to a Temporal service.",
    )


def _download(directory: Path, on_progress: OnProgress) -> Path:
    on_progress(f"letting the Temporal SDK download {VERSION}; a few seconds without a byte, and it is built instead")
    try:
        _try_out(directory, on_progress)
    except CommandFailed as error:
        raise CommandFailed(f"the download failed: {error}") from error
    return downloaded(directory)


def downloaded(directory: Path) -> Path:
    """Return where the SDK puts what it downloads into *directory*."""
    return directory / f"{_NAME}-{VERSION}"


def _build(directory: Path, on_progress: OnProgress) -> Path:
    install(PACKAGE, directory, on_progress, told=f"building {VERSION} with Go, about 3 minutes once")
    built = directory / _NAME
    try:
        _try_out(directory, on_progress, "--program", str(built))
    except CommandFailed as error:
        raise CommandFailed(f"what was built does not serve: {error}") from error
    return built


def _try_out(directory: Path, on_progress: OnProgress, *options: str) -> None:
    trial = [sys.executable, "-m", "starter.prerequisites.temporal_trial", str(directory), *options]
    try:
        run(trial, on_line=on_progress, timeout=TRIAL_SECONDS)
    except CommandFailed as error:
        raise CommandFailed(str(error).partition("error: ")[2] or str(error)) from error
