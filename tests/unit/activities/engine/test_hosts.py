"""What a host is asked before a cluster is made on it."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from activities.engine import hosts
from activities.engine.docker_types import HostInfo
from model.effects import CheckHostInput
from model.errors import HostFull

Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, megabytes * 2**20))


def test_full_disk_refuses_a_new_cluster_with_the_numbers() -> None:
    with pytest.raises(HostFull, match=rf"{hosts.MIN_FREE_MB - 1} MB free, a new cluster needs {hosts.MIN_FREE_MB} MB"):
        hosts.require_free((hosts.MIN_FREE_MB - 1) * 2**20, hosts.MIN_FREE_MB)


def test_disk_with_room_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_free(monkeypatch, hosts.MIN_FREE_MB)
    free = hosts.free_bytes(HostInfo(cpus=1, memory_mb=1, root_dir=str(tmp_path)))
    assert free == hosts.MIN_FREE_MB * 2**20
    hosts.require_free(free, hosts.MIN_FREE_MB)


def test_engine_whose_files_are_elsewhere_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 0)
    assert hosts.free_bytes(HostInfo(cpus=1, memory_mb=1, root_dir="/nowhere/at/all")) is None


TAGS = ("15", "17", "17-postgis", "latest")


@pytest.mark.parametrize(
    ("postgis", "tags", "said", "remedy"),
    [
        (False, TAGS, "no image for Postgres 16; the versions it has: 15, 17.", "'mpg doctor'"),
        (False, (), "no image for Postgres 16; the versions it has: none.", "'mpg doctor'"),
        (True, TAGS, "no image with PostGIS for Postgres 16; the versions it has: 17.", "'mpg doctor --postgis --fix'"),
        (True, ("17",), "no image with PostGIS for Postgres 16; the versions it has: none.", "without PostGIS"),
    ],
)
def test_missing_image_is_named_with_those_there_are(
    postgis: bool, tags: tuple[str, ...], said: str, remedy: str
) -> None:
    error = hosts.missing_image(CheckHostInput(plan="basic", pg_major_version=16, postgis=postgis), tags)
    assert said in error.message
    assert remedy in error.remedy
