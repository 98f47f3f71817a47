"""Input that other programs send as plain JSON: what does not fit fails at once, in one sentence."""

import asyncio
import secrets

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from model.names import MAIN_QUEUE
from tests.workflows.bench import Bench

ID = "0123456789abcdef"
WRONG = [
    ("CreateUser", {"cluster_id": ID, "username": "amy", "role": "owner"}, "Role 'owner' is not one"),
    ("CreateUser", {"cluster_id": ID, "username": "pg_amy", "role": "reader"}, "reserved"),
    ("CreateUser", {"cluster_id": ID, "username": "amy", "role": "reader", "rolle": 1}, "unknown field 'rolle'"),
    ("CreateUser", {"cluster_id": ID, "role": "reader"}, "lacks 'username'"),
    ("CreateCluster", {"cluster_id": ID, "name": "No Good"}, "Cluster name 'No Good' is not allowed"),
    ("CreateCluster", {"cluster_id": ID, "name": "good", "host": "No Host"}, "Host 'No Host' is not one"),
    ("Switchover", {"cluster_id": "x"}, "Cluster id 'x' is not one"),
    ("SetPoolMode", {"cluster_id": ID, "pool_mode": "statement"}, "'statement' is not one"),
    ("Restart", {"cluster_id": ID, "node": "c"}, "There is no node 'c'"),
    ("RestoreCluster", {"cluster_id": ID, "name": "x", "source_id": ID}, "Say one of backup_id, pitr_time, lsn"),
    ("RestoreCluster", {"cluster_id": ID, "name": "x", "source_id": ID, "pitr_time": "2026-01-01T00:00:00"}, "offset"),
    ("DestroyCluster", {"cluster_id": ID, "keep_backups_days": -1}, "Backups cannot be kept for -1 days"),
    ("ChangePlan", {"cluster_id": ID, "plan": "launch", "max_pause_s": -1}, "A pause of at most -1 s"),
]


@pytest.mark.parametrize(("operation", "body", "said"), WRONG)
async def test_wrong_input_fails_with_one_sentence(bench: Bench, operation: str, body: dict[str, object], said: str):
    handle = await bench.client.start_workflow(
        operation, body, id=f"wrong/{secrets.token_hex(4)}", task_queue=MAIN_QUEUE
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), 5)
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "InvalidInput"
    assert said in cause.message
    assert "\n" not in cause.message
