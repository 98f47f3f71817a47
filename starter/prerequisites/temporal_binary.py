"""The program that runs the embedded Temporal: found, built with Go, or downloaded by the SDK."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from model.settings import Settings
from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.lock import file_lock
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.result import Missing, OnProgress

PACKAGE = "github.com/temporalio/cli/cmd/temporal@v1.5.1"
BUILD_SECONDS = 900
DOWNLOAD_SECONDS = 180
_NAME = "temporal"


def candidates(settings: Settings, environ: Mapping[str, str], cache: Path) -> list[Path]:
    """Return where a ``temporal`` may be, best first: PATH, the state directory, the cache, where Go installs."""
    on_path = shutil.which(_NAME, path=environ.get("PATH", ""))
    go_bin = environ.get("GOBIN") or f"{environ.get('GOPATH') or environ.get('HOME', '') + '/go'}/bin"
    places = [settings.home / "bin", cache / "bin", Path(go_bin)]
    return [*([Path(on_path)] if on_path else []), *(place / _NAME for place in places)]


def find_temporal(settings: Settings) -> Path | None:
    """Return the ``temporal`` to run, or None if this machine has none."""
    for path in candidates(settings, os.environ, cache_dir()):
        if os.access(path, os.X_OK) and path.is_file():
            return path
    return None


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
    """Build or download ``temporal`` into the cache and return its path.

    Raises:
        Missing: neither way worked; the remedy names others.
    """
    cache = cache_dir()
    with file_lock(cache / "temporal.lock", on_wait=lambda: on_progress("another process is getting it")):
        found = find_temporal(settings)
        return str(found or _obtain(cache / "bin", on_progress))


def _obtain(directory: Path, on_progress: OnProgress) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    for way in (_build, _download):
        try:
            return way(directory, on_progress)
        except CommandFailed as error:
            problems.append(str(error))
    raise Missing(
        f"There is no 'temporal' program and it could not be had: {'; '.join(problems)}.",
        "Install it from temporal.io, or set MPG_TEMPORAL_ADDRESS to a Temporal service.",
    )


def _build(directory: Path, on_progress: OnProgress) -> Path:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise CommandFailed("Go is not installed")
    on_progress("building it with Go, about 3 minutes once")
    run([go, "install", "-v", PACKAGE], on_line=on_progress, timeout=BUILD_SECONDS, env={"GOBIN": str(directory)})
    return directory / _NAME


def _download(directory: Path, on_progress: OnProgress) -> Path:
    on_progress("letting the Temporal SDK download it")
    try:
        asyncio.run(asyncio.wait_for(_start_and_stop(directory), DOWNLOAD_SECONDS))
    except (RuntimeError, TimeoutError, OSError) as error:
        raise CommandFailed(
            f"the download failed: {str(error).splitlines()[0] if str(error) else 'no answer'}"
        ) from error
    downloaded = max(directory.glob("temporal-sdk-python-*"), key=lambda path: path.stat().st_mtime)
    return downloaded.rename(directory / _NAME)


async def _start_and_stop(directory: Path) -> None:
    """Start a throw-away server: the SDK downloads the program as part of it, and offers no other way."""
    environment = await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType]
        download_dest_dir=str(directory), dev_server_startup_timeout=timedelta(seconds=DOWNLOAD_SECONDS)
    )
    await environment.shutdown()
