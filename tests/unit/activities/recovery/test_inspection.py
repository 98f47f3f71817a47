"""What a look at the nodes says of the record."""

from datetime import UTC, datetime

import pytest

from activities.nodes.state import NodeState
from activities.recovery.inspection import NodeLook, node_facts
from model.facts import apply
from model.settling import Seen
from tests.workflows.samples import ready_cluster

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("writes", "since"), [("a", None), ("b", BEGAN)])
def test_takeover_that_nobody_recorded_is_on_record_with_the_moment_of_the_look(writes: str, since: datetime | None):
    state = ready_cluster()
    taken = NodeState(in_recovery=False, timeline=2, lag_bytes=None, receiver="", follows="")
    looks = {
        node.name: NodeLook(node=node, seen=Seen.PRIMARY, state=taken)
        if node.name == writes
        else NodeLook(node=node, seen=Seen.MISSING)
        for node in state.status.nodes
    }
    status = apply(state, node_facts(state, looks, BEGAN)).status
    assert status.primary is not None
    assert (status.primary.name, status.backups.unclosed_since) == (writes, since)
