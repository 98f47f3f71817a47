"""The container of a command on a repository whose worker is lost: removed, and nobody else's."""

from datetime import timedelta
from uuid import uuid4

import pytest
from rig import TEST_LABEL, Rig, until

from activities.backups import pgbackrest
from activities.engine.docker_types import ContainerSpec
from activities.engine.labels import Kind, cluster_labels, make_labels
from model.names import backup_container, repository_container

pytestmark = pytest.mark.integration


async def made(rig: Rig, cluster_id: str, name: str, **more: str) -> str:
    labels = {**TEST_LABEL, **make_labels(cluster_id, Kind.BACKUP, name), **more}
    spec = ContainerSpec(name=name, image=rig.settings.node_image_for(17), command=("sleep", "3600"), labels=labels)
    return await rig.docker.create(spec)


async def end(rig: Rig, name: str) -> None:
    await rig.docker.kill(name)

    async def over() -> bool:
        found = await rig.docker.inspect(name)
        return found is not None and found.ended_at is not None

    await until(over, what=f"{name} to have ended")


async def swept(rig: Rig, cluster_id: str) -> set[str]:
    """Return which containers of the cluster are removed."""
    there = await rig.docker.list_containers(cluster_labels(cluster_id))
    return {each.name for each in there if await pgbackrest.remove_left_command(rig.docker, each)}


async def test_a_command_that_nobody_waits_for_is_removed(
    rig: Rig, cluster_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, ended, unstarted = (repository_container(cluster_id, uuid4().hex[:8]) for _ in range(3))
    for name in (running, ended, unstarted):
        await made(rig, cluster_id, name)
    for name in (running, ended):
        await rig.docker.start(name)
    await end(rig, ended)
    assert await swept(rig, cluster_id) == set(), "each may still be somebody's"
    monkeypatch.setattr(pgbackrest, "ANSWER_TAKEN_WITHIN", timedelta(0))
    assert await swept(rig, cluster_id) == {ended}
    monkeypatch.setattr(pgbackrest, "BEGINS_WITHIN", timedelta(0))
    assert await swept(rig, cluster_id) == {unstarted}
    monkeypatch.setattr(pgbackrest, "LEFT_AFTER", timedelta(0))
    assert await swept(rig, cluster_id) == {running}


async def test_one_that_keeps_backups_out_is_removed_and_a_backup_is_not(
    rig: Rig, cluster_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have one name, which is the lock. Of a backup its operation tells whether it is over."""
    monkeypatch.setattr(pgbackrest, "ANSWER_TAKEN_WITHIN", timedelta(0))
    name = backup_container(cluster_id)
    for labels, gone in (({pgbackrest.REQUEST_LABEL: "r"}, set[str]()), ({}, {name})):
        await made(rig, cluster_id, name, **labels)
        await rig.docker.start(name)
        await end(rig, name)
        assert await swept(rig, cluster_id) == gone
        await rig.docker.remove(name)
