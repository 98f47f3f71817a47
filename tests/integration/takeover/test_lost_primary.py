"""Whether a primary is lost for good, asked of real servers."""

import pytest
from rig import Rig, TestCluster

from activities.postgres.sql import SqlSessions
from activities.takeover.lost_primary import LostPrimaryActivities
from model.effects import RequireLostInput
from model.errors import Refused

pytestmark = pytest.mark.integration


async def test_primary_that_serves_is_not_given_up(rig: Rig, cluster: TestCluster) -> None:
    look = LostPrimaryActivities(rig.docker, rig.sql)
    with pytest.raises(Refused, match="answers and takes writes"):
        await look.require_lost(RequireLostInput(cluster_id=cluster.id, node=cluster.a))


async def test_primary_that_does_not_let_us_in_is_not_given_up(rig: Rig, cluster: TestCluster) -> None:
    look = LostPrimaryActivities(rig.docker, SqlSessions(b"another key"))
    with pytest.raises(Refused, match=r"not known to be lost.* password authentication failed"):
        await look.require_lost(RequireLostInput(cluster_id=cluster.id, node=cluster.a))
