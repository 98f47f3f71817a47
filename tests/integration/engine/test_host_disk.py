"""Whether this host's disk can hold a cluster, beside what others were promised."""

import shutil

import pytest
from rig import Promised, Rig

from activities.engine.hosts import HostActivities
from model.disk import Promise
from model.effects import CheckDiskInput, CheckHostInput
from model.errors import HostFull
from model.storage import GB

pytestmark = pytest.mark.integration


def hosts(rig: Rig, *others: Promise, overcommit: bool = False) -> HostActivities:
    settings = rig.settings.model_copy(update={"allow_storage_overcommit": overcommit})
    return HostActivities(rig.docker, settings, rig.master_key, Promised(*others))


async def all_of_the_disk(rig: Rig, cluster_id: str = "other") -> Promise:
    total = shutil.disk_usage((await rig.docker.host()).root_dir).total
    return Promise(cluster_id=cluster_id, promised_bytes=total)


async def test_new_cluster_has_to_fit_beside_the_others(rig: Rig):
    small = CheckHostInput(plan="basic", pg_major_version=17, storage_gb=1)
    assert await hosts(rig).check_host(small)
    other = await all_of_the_disk(rig)
    with pytest.raises(HostFull, match=rf"promised {other.promised_bytes / GB:.1f} GB here"):
        await hosts(rig, other).check_host(small)
    assert await hosts(rig, other, overcommit=True).check_host(small)


async def test_question_without_storage_is_not_about_the_disk(rig: Rig):
    other = await all_of_the_disk(rig)
    assert await hosts(rig, other).check_host(CheckHostInput(plan="basic", pg_major_version=17))


async def test_growth_counts_what_a_cluster_has_once(rig: Rig):
    own = await all_of_the_disk(rig, "own")
    alone = hosts(rig, own)
    await alone.check_disk(CheckDiskInput(cluster_id="own", storage_gb=1))
    with pytest.raises(HostFull, match="No other cluster has a claim to it"):
        await alone.check_disk(CheckDiskInput(cluster_id="own", storage_gb=own.promised_bytes // GB))
    with pytest.raises(HostFull, match="Another cluster was promised"):
        await hosts(rig, own).check_disk(CheckDiskInput(cluster_id="another", storage_gb=1))
