"""The program that keeps the embedded stack's metrics: found, copied out of Prometheus' image, or Debian's."""

import contextlib
import io
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from requests.exceptions import RequestException

from model.settings import Settings
from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.engine import connect
from starter.prerequisites.lock import file_lock
from starter.prerequisites.node_image import pull
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.programs import first_program, obtain
from starter.prerequisites.result import Missing, OnProgress

IMAGE = "prom/prometheus:v2.53.5"
"""The version with long-term support that docker-compose.yml has as well."""
PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")
DOWNLOAD_SECONDS = 120
_REMEDY = "Run: mpg doctor --fix"


def candidates(settings: Settings, environ: Mapping[str, str], cache: Path) -> list[Path]:
    """Return where a ``prometheus`` may be, best first: where it is said to be and nowhere else; PATH, the cache."""
    if settings.prometheus_binary is not None:
        return [settings.prometheus_binary]
    on_path = shutil.which(PROGRAMS[0], path=environ.get("PATH", ""))
    return [*([Path(on_path)] if on_path else []), cache / "bin" / PROGRAMS[0]]


def find_prometheus(settings: Settings) -> Path | None:
    """Return the ``prometheus`` to run, or None if this machine has none."""
    return first_program(candidates(settings, os.environ, cache_dir()))


def check_prometheus(settings: Settings) -> str:
    """Return which Prometheus keeps the stack's metrics.

    Raises:
        Missing: there is none.
    """
    if settings.prometheus_url is not None:
        return f"configured: {settings.prometheus_url}"
    if not settings.runs_prometheus:
        return "left out: MPG_PROMETHEUS_PORT is 0"
    path = find_prometheus(settings)
    if path is not None:
        return str(path)
    if settings.prometheus_binary is not None:
        detail = f"There is no program {settings.prometheus_binary}, so that metrics are not kept."
        raise Missing(detail, "Correct MPG_PROMETHEUS_BINARY.")
    raise Missing("There is no 'prometheus' program, so that metrics are not kept.", _REMEDY)


def ensure_prometheus(settings: Settings, on_progress: OnProgress) -> str:
    """Get ``prometheus`` and ``promtool`` into the cache and return the path of the first.

    Raises:
        Missing: neither way worked; the remedy names others.
    """
    if settings.prometheus_binary is not None:
        return check_prometheus(settings)
    cache = cache_dir()
    with file_lock(cache / "prometheus.lock", on_wait=lambda: on_progress("another process is getting it")):
        found = find_prometheus(settings)
        return str(found or _obtain(settings, cache / "bin", on_progress))


def debian_programs(directory: Path, on_progress: OnProgress) -> dict[str, Path]:
    """Unpack Debian's package in *directory* and return its programs. Nothing is installed: its service would start.

    Raises:
        CommandFailed: this is no Debian, or a mirror does not answer.
    """
    on_progress("downloading Debian's package")
    # As if in that directory, where apt puts what it downloads.
    fetch = ["env", f"--chdir={directory}", "apt-get", "-qq", "-o", "Acquire::Retries=2", "download", PACKAGE]
    try:
        run(fetch, on_line=on_progress, timeout=DOWNLOAD_SECONDS)
    except CommandFailed:
        run(["apt-get", "-qq", "-o", "Acquire::Retries=2", "update"], on_line=on_progress, timeout=DOWNLOAD_SECONDS)
        run(fetch, on_line=on_progress, timeout=DOWNLOAD_SECONDS)
    package = next(directory.glob(f"{PACKAGE}_*.deb"))
    run(["dpkg", "--extract", str(package), str(directory)], on_line=on_progress, timeout=DOWNLOAD_SECONDS)
    return {name: directory / "usr" / "bin" / name for name in PROGRAMS}


def _obtain(settings: Settings, directory: Path, on_progress: OnProgress) -> Path:
    def keep(programs: Mapping[str, Path]) -> None:
        for name in reversed(PROGRAMS):  # the one that is looked for comes last
            run([str(programs[name]), "--version"], on_line=on_progress, timeout=DOWNLOAD_SECONDS)
            programs[name].rename(directory / name)

    return obtain(
        directory,
        PROGRAMS[0],
        [
            lambda fresh: keep(_of_image(settings, fresh, on_progress)),
            lambda fresh: keep(debian_programs(fresh, on_progress)),
        ],
        on_progress,
        otherwise="Install it from prometheus.io, or set MPG_PROMETHEUS_URL; the stack runs without it, and keeps no "
        "metrics.",
    )


def _of_image(settings: Settings, directory: Path, on_progress: OnProgress) -> dict[str, Path]:
    if not pull(settings, IMAGE, on_progress):
        raise CommandFailed(f"there is no image {IMAGE}")
    on_progress(f"copying it out of {IMAGE}")
    try:
        with contextlib.closing(connect(settings, timeout=DOWNLOAD_SECONDS)) as client:
            holder: Any = client.containers.create(IMAGE)
            try:
                for name in PROGRAMS:
                    chunks, _ = holder.get_archive(f"/bin/{name}")
                    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                        tar.extractall(directory, filter="data")
            finally:
                holder.remove()
    except (DockerException, RequestException, tarfile.TarError) as error:
        raise CommandFailed(f"copying from {IMAGE} failed: {error}") from error
    return {name: directory / name for name in PROGRAMS}
