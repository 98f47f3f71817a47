"""The kernel's files of a container, by both versions of cgroups and both drivers of the engine."""

import os
from pathlib import Path

import pytest

from activities.engine.cgroups import read_usage

ID = "060fe7b14d66"


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)


@pytest.mark.parametrize("place", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_unified_hierarchy(tmp_path: Path, place: str) -> None:
    write(tmp_path, cgroup__controllers="cpu memory")
    write(
        tmp_path / place,
        cpu__max="150000 100000\n",
        cpu__stat="usage_usec 2500000\nuser_usec 1\n",
        memory__current="1000\n",
        memory__stat="anon 1\ninactive_file 300\n",
        memory__max="5000\n",
    )
    usage = read_usage(ID, tmp_path)
    assert usage is not None
    assert (usage.cpu_seconds, usage.cpus, usage.memory_bytes, usage.memory_limit_bytes) == (2.5, 1.5, 700, 5000)


@pytest.mark.parametrize("place", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_hierarchy_for_each_controller(tmp_path: Path, place: str) -> None:
    write(tmp_path / "cpuacct" / place, cpuacct__usage="2500000000\n")
    write(tmp_path / "cpu" / place, cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    write(
        tmp_path / "memory" / place,
        memory__usage_in_bytes="1000\n",
        memory__limit_in_bytes="5000\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 300\n",
    )
    usage = read_usage(ID, tmp_path)
    assert usage is not None
    assert (usage.cpu_seconds, usage.cpus, usage.memory_bytes, usage.memory_limit_bytes) == (2.5, 2, 700, 5000)


def test_without_limits_it_has_the_machine(tmp_path: Path) -> None:
    write(tmp_path, cgroup__controllers="")
    files = {"cpu.max": "max 100000", "cpu.stat": "usage_usec 1", "memory.current": "1", "memory.max": "max"}
    write(tmp_path / "docker" / ID, **files, memory__stat="inactive_file 0")
    usage = read_usage(ID, tmp_path)
    assert usage is not None
    assert usage.cpus == os.cpu_count()
    assert usage.memory_limit_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_container_that_is_elsewhere_has_no_files_here(tmp_path: Path) -> None:
    assert read_usage(ID, tmp_path) is None
    write(tmp_path, cgroup__controllers="")
    assert read_usage(ID, tmp_path) is None
    write(tmp_path / "docker" / ID, cpu__max="max 100000")  # it ends just now
    assert read_usage(ID, tmp_path) is None
