"""What still works, and what ends in a sentence, when no worker of a host answers any more."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from model.backups import RepositoryKind
from model.cluster import ClusterState
from model.effects import HOST_KINDS, Kind
from model.names import MAIN_QUEUE, kept_workflow_id
from model.operations import ReadBackupsRequest, RestoreClusterRequest
from model.restore import KeptCluster, Source
from model.settings import load_settings
from starter.client import MpgClient
from tests.workflows.bench import Bench, failure
from tests.workflows.samples import ARCHIVED_TO, MADE_AT, backed_up, new_id, ready_cluster
from tests.workflows.stubs import Stubs
from workflows import call

LOST = "lost"


def of_lost_host(kind: RepositoryKind) -> ClusterState:
    """A cluster whose host no worker serves; its repository is of that *kind*."""
    state = backed_up(ready_cluster())
    backups = state.spec.backups
    assert backups is not None
    repository = backups.repository.model_copy(update={"kind": kind})
    changes = {"host": LOST, "backups": backups.model_copy(update={"repository": repository})}
    return state.model_copy(update={"spec": state.spec.model_copy(update=changes)})


def new_request(**fields: object) -> RestoreClusterRequest:
    cluster_id = new_id()
    body = {"cluster_id": cluster_id, "name": f"copy-{cluster_id}", "source_id": new_id(), "pitr_time": ARCHIVED_TO}
    return RestoreClusterRequest.model_validate(body | fields)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have looks at a host that nobody takes up be given up at once."""
    look = replace(call.MANNERS[Kind.HOST_LOOK], taken_up=timedelta(seconds=0.5))
    monkeypatch.setattr(call, "MANNERS", {**call.MANNERS, Kind.HOST_LOOK: look})


@pytest.mark.parametrize("over", [False, True])
async def test_backups_in_a_store_are_restored_on_another_host(bench: Bench, stubs: Stubs, over: bool):
    state = of_lost_host(RepositoryKind.S3)
    kept = KeptCluster(state=state, end=ARCHIVED_TO, until=ARCHIVED_TO + timedelta(days=7)) if over else None
    stubs.answers["read_source"] = Source(state=state, over=over, kept=kept)
    await asyncio.wait_for(bench.run(new_request()), 20)


async def test_backups_in_a_store_are_listed_by_another_host(bench: Bench):
    state = of_lost_host(RepositoryKind.S3)
    await bench.cluster(state)
    found = await asyncio.wait_for(MpgClient(bench.client, load_settings()).backups(state.spec.id), 20)
    assert found[-1].start < MADE_AT


async def test_kept_backups_in_a_store_are_removed_by_another_host(bench: Bench, stubs: Stubs):
    state, now = of_lost_host(RepositoryKind.S3), datetime.now(UTC)
    stubs.answers["read_source"] = Source(state=state, over=True)
    keeper = await bench.client.start_workflow(
        "KeptBackups",
        KeptCluster(state=state, end=now, until=now),
        id=kept_workflow_id(state.spec.id),
        task_queue=MAIN_QUEUE,
    )
    await asyncio.wait_for(keeper.result(), 20)
    assert stubs.texts(keeper.id) == ["read_source", "remove_stored"]


@pytest.mark.usefixtures("impatient")
async def test_look_that_nobody_takes_up_ends_in_a_sentence(bench: Bench):
    spec = of_lost_host(RepositoryKind.VOLUME).spec
    assert spec.backups is not None
    request = ReadBackupsRequest(
        cluster_id=spec.id, host=spec.host, repository=spec.backups.repository, image=spec.image
    )
    asked = bench.client.execute_workflow(
        ReadBackupsRequest.workflow, request, id=f"read-backups/{spec.id}", task_queue=MAIN_QUEUE
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(asked, 20)
    assert isinstance(failed.value.cause, ApplicationError)
    assert "No worker of host lost answers." in failed.value.cause.message


@pytest.mark.usefixtures("impatient")
async def test_nothing_is_made_on_a_host_that_does_not_answer(bench: Bench, stubs: Stubs):
    handle = await bench.start(new_request(host=LOST))
    error, detail = await asyncio.wait_for(failure(handle), 20)
    assert "No worker of host lost answers." in error.message
    assert detail.began is False
    assert stubs.texts(handle.id) == ["read_source", "begin_reading to choose one"]


def test_only_looks_are_given_up():
    """What was under way goes on when its host is back, however late."""
    bounded = {kind for kind in HOST_KINDS if call.MANNERS[kind].taken_up is not None}
    assert bounded == {Kind.HOST_LOOK}
