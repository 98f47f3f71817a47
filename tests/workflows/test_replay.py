"""The workflows go on from every committed history: a change that would not is found here, not in production."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from model.converter import DATA_CONVERTER
from model.errors import MpgError
from tests.workflows.record_histories import HEALED, KEPT
from tests.workflows.samples import SCENARIOS
from workflows.registry import SANDBOX, WORKFLOWS

FOLDER = Path(__file__).parent.parent / "histories"
HISTORIES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.json"))}
WAYS = ("done", "failed", "cancelled")


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    return Replayer(
        workflows=WORKFLOWS,
        data_converter=DATA_CONVERTER,
        workflow_runner=SANDBOX,
        workflow_failure_exception_types=[MpgError],
    )


@pytest.mark.parametrize("name", HISTORIES)
async def test_replay(replayer: Replayer, name: str):
    document = json.loads(HISTORIES[name])
    await replayer.replay_workflow(WorkflowHistory.from_json(document["workflow_id"], document["history"]))


def test_every_operation_has_a_history_of_each_way_to_end():
    assert {f"{scenario}.{way}" for scenario in SCENARIOS for way in WAYS} <= HISTORIES.keys()


def test_what_is_kept_of_a_destroyed_cluster_has_histories():
    slept = {"kept-backups-slept"}  # before a signal ended the pause after a removal that failed
    assert {f"{name}.done" for name in {*KEPT, *slept}} <= HISTORIES.keys()


def test_what_a_cluster_does_by_itself_has_histories():
    assert {f"{name}.done" for name in HEALED} | {"change-plan.preempted"} <= HISTORIES.keys()
