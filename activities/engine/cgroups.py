"""What a container uses, read from the kernel's own files where the engine is on this machine.

The engine's answer to the same question takes a second before Docker 25, also with ``one-shot``.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from activities.engine.docker_types import ContainerUsage

ROOT = Path("/sys/fs/cgroup")
_V2 = ("system.slice/docker-{id}.scope", "docker/{id}")
_V1 = ("docker/{id}", "system.slice/docker-{id}.scope")
"""Where the engine puts containers, by its two drivers (cgroupfs, systemd), unless it is told ``cgroup-parent``."""


def read_usage(container_id: str, root: Path = ROOT) -> ContainerUsage | None:
    """Return what the running container with this whole id uses; None where its files are not there to be read."""
    try:
        if (root / "cgroup.controllers").exists():
            place = _first(root, _V2, container_id)
            return place and _unified(place)
        places = {name: _first(root / name, _V1, container_id) for name in ("cpuacct", "cpu", "memory")}
        found = {name: place for name, place in places.items() if place is not None}
        return _by_controller(found) if len(found) == len(places) else None
    except (OSError, ValueError, KeyError):
        return None  # it has just ended, or the kernel is another one than we know


def _first(base: Path, patterns: tuple[str, ...], container_id: str) -> Path | None:
    places = (base / pattern.format(id=container_id) for pattern in patterns)
    return next((place for place in places if place.is_dir()), None)


def _unified(place: Path) -> ContainerUsage:
    quota, period = (place / "cpu.max").read_text().split()
    limit = (place / "memory.max").read_text().strip()
    return _usage(
        cpu_seconds=_counts(place / "cpu.stat")["usage_usec"] / 10**6,
        quota=None if quota == "max" else int(quota) / int(period),
        memory=_number(place / "memory.current"),
        idle=_counts(place / "memory.stat")["inactive_file"],
        limit=None if limit == "max" else int(limit),
    )


def _by_controller(places: Mapping[str, Path]) -> ContainerUsage:
    cpu, memory = places["cpu"], places["memory"]
    quota = _number(cpu / "cpu.cfs_quota_us")
    return _usage(
        cpu_seconds=_number(places["cpuacct"] / "cpuacct.usage") / 10**9,
        quota=quota / _number(cpu / "cpu.cfs_period_us") if quota > 0 else None,
        memory=_number(memory / "memory.usage_in_bytes"),
        idle=_counts(memory / "memory.stat")["total_inactive_file"],
        limit=_number(memory / "memory.limit_in_bytes"),
    )


def _usage(*, cpu_seconds: float, quota: float | None, memory: int, idle: int, limit: int | None) -> ContainerUsage:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return ContainerUsage(
        cpu_seconds=cpu_seconds,
        cpus=quota or os.cpu_count() or 1,
        memory_bytes=max(memory - idle, 0),
        memory_limit_bytes=min(limit or machine, machine),
    )


def _number(file: Path) -> int:
    return int(file.read_text())


def _counts(file: Path) -> dict[str, int]:
    return {name: int(count) for name, count in (line.split() for line in file.read_text().splitlines())}
