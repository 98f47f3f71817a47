"""Where a run took place: machine and versions, without which its figures say nothing."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import pgbench


def machine_lines(docker: Any, image: str, temporal: str | None) -> tuple[str, ...]:
    """Return lines about this machine, the engine behind *docker*, and what *image* holds."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    inside = docker_output(docker, image, "postgres --version; pgbouncer --version | head -1").splitlines()
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory_gb:.0f} GB, Linux {platform.release()}, "
        f"Docker Engine {docker.version()['Version']}",
        f"{', '.join(inside)}, Temporal {_temporal_version(temporal)}, Python {sys.version.split()[0]}, "
        f"temporalio {version('temporalio')}, psycopg {version('psycopg')}, {_pgbench()}",
    )


def docker_output(docker: Any, image: str, script: str) -> str:
    """Return what a shell *script* prints in a container of *image* that is removed afterwards."""
    made = docker.create_container(image, command=["sh", "-c", script])
    try:
        docker.start(made)
        docker.wait(made)
        return docker.logs(made).decode(errors="replace").strip()
    finally:
        docker.remove_container(made, force=True, v=True)


def _pgbench() -> str:
    try:
        said = subprocess.run([*pgbench.command(), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except FileNotFoundError:
        return "no pgbench"
    return said.stdout.partition("(Debian")[0].strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _temporal_version(binary: str | None) -> str:
    if binary is None:
        return "unknown"
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    words = said.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return f"CLI {words[2]}, server {words[words.index('Server') + 1]}" if "Server" in words else said.strip()
