"""What a host is asked before a cluster is made on it."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from activities import hosts
from activities.docker_types import HostInfo
from model.errors import HostFull

Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, megabytes * 2**20))


def test_full_disk_refuses_a_new_cluster_with_the_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_free(monkeypatch, hosts.MIN_FREE_MB - 1)
    with pytest.raises(HostFull, match=rf"{hosts.MIN_FREE_MB - 1} MB free, a new cluster needs {hosts.MIN_FREE_MB} MB"):
        hosts.check_disk(HostInfo(cpus=1, memory_mb=1, root_dir=str(tmp_path)))


def test_disk_with_room_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_free(monkeypatch, hosts.MIN_FREE_MB)
    hosts.check_disk(HostInfo(cpus=1, memory_mb=1, root_dir=str(tmp_path)))


def test_engine_whose_files_are_elsewhere_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 0)
    hosts.check_disk(HostInfo(cpus=1, memory_mb=1, root_dir="/nowhere/at/all"))
