"""Whether this host's disk can hold a cluster, beside what others were promised."""

import shutil

import pytest
from rig import Rig

from activities.engine.hosts import HostActivities
from model.cluster import ClusterState
from model.effects import CheckDiskInput, CheckHostInput
from model.errors import HostFull
from model.storage import GB
from tests.workflows.samples import ready_cluster

pytestmark = pytest.mark.integration


async def hosts(rig: Rig, *others: ClusterState, overcommit: bool = False) -> HostActivities:
    async def clusters() -> list[ClusterState]:
        return list(others)

    settings = rig.settings.model_copy(update={"allow_storage_overcommit": overcommit})
    return HostActivities(rig.docker, settings, clusters)


async def disk_gb(rig: Rig) -> int:
    return shutil.disk_usage((await rig.docker.host()).root_dir).total // GB


def promised(storage_gb: int) -> ClusterState:
    state = ready_cluster()
    return state.model_copy(update={"spec": state.spec.model_copy(update={"storage_gb": storage_gb})})


async def test_new_cluster_has_to_fit_beside_the_others(rig: Rig):
    small = CheckHostInput(plan="basic", pg_major_version=17, storage_gb=1)
    assert await (await hosts(rig)).check_host(small)
    other = promised(await disk_gb(rig))
    with pytest.raises(HostFull, match=rf"promised {2 * other.spec.storage_gb}.0 GB here"):
        await (await hosts(rig, other)).check_host(small)
    assert await (await hosts(rig, other, overcommit=True)).check_host(small)


async def test_question_without_storage_is_not_about_the_disk(rig: Rig):
    other = promised(await disk_gb(rig))
    assert await (await hosts(rig, other)).check_host(CheckHostInput(plan="basic", pg_major_version=17))


async def test_growth_counts_what_a_cluster_has_once(rig: Rig):
    own = promised(await disk_gb(rig))
    alone = await hosts(rig, own)
    await alone.check_disk(CheckDiskInput(cluster_id=own.spec.id, storage_gb=1))
    with pytest.raises(HostFull, match="No other cluster has a claim to it"):
        await alone.check_disk(CheckDiskInput(cluster_id=own.spec.id, storage_gb=own.spec.storage_gb))
    with pytest.raises(HostFull, match="Another cluster was promised"):
        await alone.check_disk(CheckDiskInput(cluster_id="another", storage_gb=1))
