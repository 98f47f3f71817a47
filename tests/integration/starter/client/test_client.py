"""The client library against a real Temporal, with stand-ins for the workflows."""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cluster_stub import StubCluster, StubName, StubOperation, state_of
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from model import names, search_attributes
from model.backups import BackupPolicy, BackupRun, BackupType
from model.converter import DATA_CONVERTER
from model.errors import AlreadyExists, Cancelled, InvalidInput, MpgError, NotFound, Refused, StackDown
from model.operations import OperationOutcome
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind
from starter.client.submission import new_cluster_id
from starter.prerequisites.temporal_binary import find_temporal
from starter.prerequisites.temporal_flags import TEMPORAL_DYNAMIC_CONFIG

pytestmark = pytest.mark.integration
T = TypeVar("T")


@pytest.fixture(scope="module")
async def temporal() -> AsyncGenerator[Client]:
    binary = find_temporal(load_settings())
    if binary is None:
        pytest.skip("this machine has no Temporal program: run 'mpg doctor --fix'")
    options = [f"--dynamic-config-value={key}={value}" for key, value in TEMPORAL_DYNAMIC_CONFIG.items()]
    async with (
        await WorkflowEnvironment.start_local(
            namespace="mpg",
            data_converter=DATA_CONVERTER,
            dev_server_existing_path=str(binary),
            dev_server_extra_args=options,
            search_attributes=search_attributes.ALL,
        ) as environment,
        Worker(
            environment.client,
            task_queue=names.MAIN_QUEUE,
            workflows=[StubCluster, StubName, StubOperation],
        ),
    ):
        yield environment.client


@pytest.fixture
def settings(temporal: Client, tmp_path: Path) -> Settings:
    (tmp_path / "master.key").write_bytes(b"k" * 32)
    (tmp_path / "master.key").chmod(0o600)
    return Settings.model_validate(
        {"home": tmp_path, "temporal_address": temporal.service_client.config.target_host.removeprefix("http://")}
    )


@pytest.fixture
async def mpg(settings: Settings) -> AsyncGenerator[MpgClient]:
    async with MpgClient.connect(settings) as client:
        yield client


async def add_cluster(temporal: Client, name: str, org: str = "personal") -> str:
    cluster_id = new_cluster_id()
    await temporal.start_workflow(
        "Cluster",
        state_of(cluster_id, name, org),
        id=names.cluster_workflow_id(cluster_id),
        task_queue=names.MAIN_QUEUE,
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(search_attributes.ORG, org), SearchAttributePair(search_attributes.CLUSTER, name)]
        ),
    )
    await temporal.start_workflow(
        "ClusterName", cluster_id, id=names.name_workflow_id(org, name), task_queue=names.MAIN_QUEUE
    )
    return cluster_id


@pytest.fixture
def name() -> str:
    return f"c{secrets.token_hex(4)}"


@pytest.fixture
async def cluster(temporal: Client, name: str) -> str:
    return await add_cluster(temporal, name)


async def remove_cluster(temporal: Client, cluster_id: str, name: str) -> None:
    claim = temporal.get_workflow_handle(names.name_workflow_id("personal", name))
    await claim.signal("release")
    await claim.result()
    workflow = temporal.get_workflow_handle(names.cluster_workflow_id(cluster_id))
    await workflow.signal("end")
    await workflow.result()


async def eventually(read: Callable[[], Awaitable[T]], fits: Callable[[T], bool]) -> T:
    """Lists follow within a second; wait at most 10."""
    deadline = time.monotonic() + 10
    while not fits(value := await read()):
        assert time.monotonic() < deadline, value
        await asyncio.sleep(0.05)
    return value


# --- finding clusters -------------------------------------------------------------------------------------------------


async def test_cluster_is_found_by_id_and_by_name(mpg: MpgClient, cluster: str, name: str) -> None:
    assert (await mpg.view(cluster)).state.spec.name == name
    assert (await mpg.view(name)).state.spec.id == cluster


async def test_name_that_looks_like_an_id_is_found(mpg: MpgClient, temporal: Client) -> None:
    name = "a" + secrets.token_hex(8)[:15]
    cluster_id = await add_cluster(temporal, name)
    assert (await mpg.view(name)).state.spec.id == cluster_id


async def test_cluster_of_another_organization_is_not_found(mpg: MpgClient, cluster: str, name: str) -> None:
    for reference in (cluster, name):
        with pytest.raises(NotFound, match=r"There is no cluster .* in organization other"):
            await mpg.view(reference, org="other")


@pytest.mark.parametrize("reference", ["no-such", "0123456789abcdef"])
async def test_unknown_cluster_is_a_clear_sentence(mpg: MpgClient, reference: str) -> None:
    with pytest.raises((NotFound, InvalidInput), match=reference):
        await mpg.change_plan(reference, "starter")


@pytest.mark.parametrize("reference", ["", "A B", "x' OR 1=1", "ünï", "x" * 64])
async def test_reference_that_can_be_neither_is_refused(mpg: MpgClient, reference: str) -> None:
    with pytest.raises(InvalidInput, match="Cluster name"):
        await mpg.view(reference)


async def test_destroyed_cluster_can_be_seen_by_id_and_not_changed(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    await remove_cluster(temporal, cluster, name)
    assert (await mpg.view(cluster)).state.status.phase == "destroyed"
    for start in (mpg.switchover, mpg.destroy_cluster):
        with pytest.raises(NotFound, match="was destroyed"):
            await start(cluster)
    with pytest.raises(NotFound):
        await mpg.switchover(name)


async def test_name_that_another_cluster_took_is_followed(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    assert (await mpg.view(name)).state.spec.id == cluster
    await remove_cluster(temporal, cluster, name)
    with pytest.raises(NotFound):
        await mpg.view(name)
    another = await add_cluster(temporal, name)
    assert (await mpg.view(name)).state.spec.id == another


async def test_name_of_a_cluster_whose_workflow_was_terminated_is_followed(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    assert (await mpg.view(name)).state.spec.id == cluster
    await temporal.get_workflow_handle(names.cluster_workflow_id(cluster)).terminate()
    await temporal.get_workflow_handle(names.name_workflow_id("personal", name)).signal("release")
    await temporal.get_workflow_handle(names.name_workflow_id("personal", name)).result()
    another = await add_cluster(temporal, name)
    assert (await mpg.view(name)).state.spec.id == another


async def test_name_is_looked_up_once(mpg: MpgClient, temporal: Client, cluster: str, name: str) -> None:
    assert (await mpg.view(name)).state.spec.id == cluster
    await temporal.get_workflow_handle(names.name_workflow_id("personal", name)).terminate()
    assert (await mpg.view(name)).state.spec.id == cluster


# --- backups ----------------------------------------------------------------------------------------------------------


async def test_backup_is_refused_while_one_is_made_and_nothing_is_started(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    running = await mpg.create_backup(name, "incr", request_id="first")
    run = BackupRun(operation_id=running.id, run_id="", type=BackupType.INCR, started_at=datetime.now(UTC))
    workflow = temporal.get_workflow_handle(names.cluster_workflow_id(cluster))
    await workflow.signal("back_up", run)
    with pytest.raises(Refused, match=f"backed up already, by {running.id}"):
        await mpg.create_backup(name)
    # The same call again is no other one.
    assert (await mpg.create_backup(name, "incr", request_id="first")).id == running.id
    assert [each.id for each in await eventually(lambda: mpg.operations(name), bool)] == [running.id]
    # One that is on record and runs no more is in nobody's way.
    await temporal.get_workflow_handle(running.id).terminate()
    assert (await mpg.create_backup(name)).id != running.id


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"full": "often"}, "Cron line 'often' is not one"),
        ({"incr": "0 25 * * *"}, "'25' is no hour"),
        ({"keep_full": 0}, "Keeping 0 full backups is not possible"),
    ],
)
async def test_policy_that_cannot_be_is_refused_before_anything_starts(
    mpg: MpgClient, cluster: str, policy: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await mpg.set_backup_policy(cluster, **policy)
    assert await mpg.operations(cluster) == []


async def test_schedule_that_is_missing_has_no_next_time(mpg: MpgClient, cluster: str) -> None:
    shown = await mpg.backup_schedule(cluster)
    assert (shown.full, shown.next_full, shown.next_incr) == (BackupPolicy().full, None, None)


# --- starting operations ----------------------------------------------------------------------------------------------


async def test_operation_has_a_readable_id_a_summary_and_search_attributes(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    operation = await mpg.change_plan(name, "starter", request_id="r1")
    assert operation.id == f"change-plan/{name}/r1"
    found = await temporal.get_workflow_handle(operation.id).describe()
    assert found.workflow_type == "ChangePlan"
    assert await found.static_summary() == f"Change plan of {name} to starter"
    attributes = found.typed_search_attributes
    assert attributes.get(search_attributes.CLUSTER_ID) == cluster
    assert attributes.get(search_attributes.CLUSTER) == name
    assert attributes.get(search_attributes.ORG) == "personal"
    assert attributes.get(search_attributes.OPERATION) == "ChangePlan"


async def test_same_key_and_request_answer_with_the_first_operation(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    first = await mpg.create_user(name, "app", "writer", request_id="key")
    again = await mpg.create_user(cluster, "app", "writer", request_id="key")
    assert again.id == first.id
    await temporal.get_workflow_handle(first.id).signal("go", [])
    assert (await again.result()).message == "It is done."
    assert (await (await mpg.create_user(name, "app", "writer", request_id="key")).result()).message == "It is done."


async def test_same_key_at_the_same_time_starts_one_operation(mpg: MpgClient, cluster: str, name: str) -> None:
    started = await asyncio.gather(*(mpg.rotate_password(name, "fly-user", request_id="one") for _ in range(5)))
    assert len({operation.id for operation in started}) == 1


async def test_same_key_with_another_request_is_refused(mpg: MpgClient, cluster: str, name: str) -> None:
    await mpg.create_user(name, "app", "writer", request_id="key")
    with pytest.raises(InvalidInput, match="was used for another CreateUser"):
        await mpg.create_user(name, "app", "reader", request_id="key")


async def test_destruction_repeated_with_its_key_answers_after_the_cluster_is_gone(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    first = await mpg.destroy_cluster(name, request_id="key")
    await remove_cluster(temporal, cluster, name)
    assert (await mpg.destroy_cluster(name, request_id="key")).id == first.id
    assert (await mpg.destroy_cluster(cluster, request_id="key")).id == first.id


async def test_creation_repeated_with_its_key_answers_with_the_first(mpg: MpgClient, temporal: Client) -> None:
    name = f"n{secrets.token_hex(4)}"
    first = await mpg.create_cluster(name, request_id="key")
    await add_cluster(temporal, name)  # the creation has claimed the name meanwhile
    assert (await mpg.create_cluster(name, request_id="key")).id == first.id
    with pytest.raises(InvalidInput, match="was used for another"):
        await mpg.create_cluster(name, plan="starter", request_id="key")
    with pytest.raises(AlreadyExists, match=name):
        await mpg.create_cluster(name)


REJECTED: list[tuple[str, Callable[[MpgClient, str], Awaitable[object]], type[MpgError], str]] = [
    ("role", lambda m, c: m.create_user(c, "x", "owner"), InvalidInput, "Role 'owner' is not one: it is schema_admin"),
    ("mode", lambda m, c: m.set_pool_mode(c, "statement"), InvalidInput, "Pool mode 'statement' is not one"),
    ("plan", lambda m, c: m.change_plan(c, "huge"), InvalidInput, "There is no plan 'huge'; the plans are basic"),
    ("reserved", lambda m, c: m.create_user(c, "postgres", "writer"), InvalidInput, "reserved"),
    ("spaces", lambda m, c: m.create_database(c, "a b"), InvalidInput, "no spaces"),
    ("long", lambda m, c: m.create_user(c, "ü" * 33, "writer"), InvalidInput, "66 bytes"),
    ("twice", lambda m, c: m.create_database(c, "fly-db"), AlreadyExists, "a database 'fly-db' already"),
    ("nobody", lambda m, c: m.delete_user(c, "ghost"), NotFound, "no user 'ghost'"),
    ("own user", lambda m, c: m.delete_user(c, "fly-user"), Refused, "cannot be deleted"),
    ("node", lambda m, c: m.restart(c, node="z"), InvalidInput, "There is no node 'z'"),
    ("pause", lambda m, c: m.switchover(c, max_pause_s=0), InvalidInput, "A pause of at most 0 s"),
    ("key", lambda m, c: m.rotate_password(c, "fly-user", request_id="a b"), InvalidInput, "Request id 'a b'"),
    ("extension", lambda m, c: m.enable_extension(c, "fly-db", ""), InvalidInput, "Extension must not be empty"),
    ("name", lambda m, _: m.create_cluster("Upper"), InvalidInput, "Cluster name 'Upper'"),
    ("region", lambda m, _: m.create_cluster("ok", region="moon"), InvalidInput, "no region 'moon'"),
    ("storage", lambda m, _: m.create_cluster("ok", storage_gb=501), InvalidInput, "Storage of 501 GB"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), [r[1:] for r in REJECTED], ids=[r[0] for r in REJECTED])
async def test_rejected_request_is_a_sentence_in_30_ms_and_leaves_no_trace(
    mpg: MpgClient,
    temporal: Client,
    cluster: str,
    call: Callable[[MpgClient, str], Awaitable[object]],
    error: type[MpgError],
    sentence: str,
) -> None:
    # Started, and its first task: scheduled, started, completed.
    events = await eventually(lambda: history_length(temporal, cluster), lambda length: length >= 4)
    best = 1.0
    for _ in range(5):
        begun = time.perf_counter()
        with pytest.raises(error, match=sentence):
            await call(mpg, cluster)
        best = min(best, time.perf_counter() - begun)
    assert best < 0.030
    assert await history_length(temporal, cluster) == events
    assert not [w async for w in temporal.list_workflows(f"MpgClusterId='{cluster}'")]


async def history_length(temporal: Client, cluster: str) -> int:
    return (await temporal.get_workflow_handle(names.cluster_workflow_id(cluster)).describe()).history_length


# --- following operations ---------------------------------------------------------------------------------------------


async def test_progress_then_result(mpg: MpgClient, temporal: Client, cluster: str) -> None:
    operation = await mpg.create_database(cluster, "shop")
    progress = await operation.progress()
    assert (progress.type, progress.status, progress.cluster_id) == ("CreateDatabase", "running", cluster)
    await temporal.get_workflow_handle(operation.id).signal("go", [])
    assert (await operation.result()).cluster_id == cluster
    shape = await mpg.operation(operation.id).describe()
    assert (shape.status, shape.error, [s.name for s in shape.steps]) == (OperationOutcome.DONE, None, ["the step"])
    assert shape.started_at is not None
    assert shape.finished_at is not None


@pytest.mark.parametrize("failure", [Refused, StackDown])
async def test_failure_is_raised_as_our_error(
    mpg: MpgClient, temporal: Client, cluster: str, failure: type[MpgError]
) -> None:
    operation = await mpg.create_database(cluster, "shop")
    await temporal.get_workflow_handle(operation.id).signal("go", [failure.__name__, "The host is asleep."])
    with pytest.raises(failure, match=r"^The host is asleep\.$"):
        await asyncio.wait_for(operation.result(), 30)
    shape = await operation.describe()
    assert (shape.status, shape.error) == (OperationOutcome.ROLLED_BACK, "The host is asleep.")


async def test_cancelled_operation_says_so(mpg: MpgClient, cluster: str) -> None:
    operation = await mpg.create_database(cluster, "shop")
    await operation.cancel()
    with pytest.raises(Cancelled, match="was cancelled"):
        await operation.result()
    assert (await operation.describe()).status is OperationOutcome.CANCELLED
    with pytest.raises(Refused, match="has ended already"):
        await operation.cancel()


async def test_terminated_operation_says_so(mpg: MpgClient, temporal: Client, cluster: str) -> None:
    operation = await mpg.create_database(cluster, "shop")
    await temporal.get_workflow_handle(operation.id).terminate()
    with pytest.raises(MpgError, match="terminated from outside"):
        await operation.result()
    assert (await operation.describe()).status is OperationOutcome.FAILED


async def test_unknown_operation_is_not_found(mpg: MpgClient, cluster: str) -> None:
    for call in (mpg.operation("no/such/thing").describe, mpg.operation("no/such/thing").result):
        with pytest.raises(NotFound, match="no/such/thing"):
            await call()
    with pytest.raises(InvalidInput, match="is not an operation"):
        await mpg.operation(names.cluster_workflow_id(cluster)).describe()


# --- lists and reads --------------------------------------------------------------------------------------------------


async def test_lists_of_clusters_follow_their_lives(mpg: MpgClient, temporal: Client) -> None:
    org = f"o{secrets.token_hex(4)}"
    ids = {name: await add_cluster(temporal, name, org) for name in ("zeta", "alpha")}
    found = await eventually(lambda: mpg.clusters(org=org), lambda views: len(views) == 2)
    assert [view.state.spec.name for view in found] == ["alpha", "zeta"]
    assert await mpg.deleted_clusters(org=org) == []
    await temporal.get_workflow_handle(names.cluster_workflow_id(ids["alpha"])).signal("end")
    gone = await eventually(lambda: mpg.deleted_clusters(org=org), bool)
    assert [view.state.spec.id for view in gone] == [ids["alpha"]]
    living = await eventually(lambda: mpg.clusters(org=org), lambda views: len(views) == 1)
    assert living[0].state.spec.name == "zeta"


async def test_operations_are_listed_by_cluster(mpg: MpgClient, cluster: str, name: str) -> None:
    operation = await mpg.create_database(name, "shop")
    found = await eventually(lambda: mpg.operations(name), bool)
    assert [(o.id, o.type, o.cluster_id, o.status) for o in found] == [
        (operation.id, "CreateDatabase", cluster, OperationOutcome.RUNNING)
    ]
    assert operation.id in {o.id for o in await mpg.operations()}


async def begin_listed(
    temporal: Client, cluster: str, operation_id: str, outcome: str | None
) -> WorkflowHandle[Any, Any]:
    """Begin an operation that says *outcome* of itself in lists, whatever Temporal says of its end."""
    shown = {search_attributes.OPERATION: "Backup", search_attributes.CLUSTER_ID: cluster}
    shown |= {search_attributes.ORG: "personal"} | ({search_attributes.OUTCOME: outcome} if outcome else {})
    return await temporal.start_workflow(
        "Backup",
        {"cluster_id": cluster},
        id=operation_id,
        task_queue=names.MAIN_QUEUE,
        search_attributes=TypedSearchAttributes([SearchAttributePair(key, value) for key, value in shown.items()]),
    )


async def test_operations_are_found_by_type_outcome_and_end(
    mpg: MpgClient, temporal: Client, cluster: str, name: str
) -> None:
    words = {"quiet": None, "failed": "failed", "undone": "rolled_back", "cancelled": "cancelled", "done": "done"}
    begun = {
        f"{end}-{word}": await begin_listed(temporal, cluster, f"backup/{name}/{end}-{word}", said)
        for end in ("go", "fail", "cancel", "terminate", "run")
        for word, said in words.items()
    }
    for key, handle in begun.items():
        match key.partition("-")[0]:
            case "go":
                await handle.signal("go", [])
            case "fail":
                await handle.signal("go", ["MpgError", "It failed."])
            case "cancel":
                await handle.cancel()
            case "terminate":
                await handle.terminate()
            case _:
                pass
    await mpg.create_database(name, "shop")
    everything = partial(mpg.operations_of, cluster, org="personal", limit=100)
    running = len(words) + 1
    found = await eventually(
        everything, lambda found: (len(found), sum(each.finished_at is None for each in found)) == (26, running)
    )
    for outcome in OperationOutcome:
        expected = {each.id for each in found if each.status is outcome}
        assert expected, outcome
        assert {each.id for each in await everything(outcome=outcome)} == expected, outcome
    assert [each.type for each in await everything(types={"CreateDatabase"})] == ["CreateDatabase"]
    ended = [each for each in found if each.finished_at is not None]
    assert found[-len(ended) :] == ended
    older = await everything(ended_before=ended[4].finished_at)
    assert [each.id for each in older] == [each.id for each in ended[5:]]
    with pytest.raises(InvalidInput, match="no operations of type 'Nonsense'"):
        await everything(types={"Nonsense"})


async def test_extensions_are_read_and_refusals_cross(mpg: MpgClient, temporal: Client, cluster: str) -> None:
    assert [one.name for one in await mpg.extensions(cluster, "fly-db")] == ["vector"]
    with pytest.raises(NotFound, match="no database 'none'"):
        await mpg.extensions(cluster, "none")


async def test_connection_uri_has_the_derived_password(mpg: MpgClient, cluster: str) -> None:
    uri = await mpg.connection_uri(cluster, kind=EndpointKind.DIRECT)
    assert uri.startswith("postgresql://fly-user:")
    assert uri.endswith("@127.0.0.1:20001/fly-db")


# --- when something is down -------------------------------------------------------------------------------------------


async def test_temporal_that_is_not_there_is_said_in_seconds(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts and never answers
        for port in (silent.getsockname()[1], 1):
            settings = Settings.model_validate({"home": tmp_path, "temporal_port": port})
            begun = time.monotonic()
            with pytest.raises(StackDown, match=rf"127.0.0.1:{port}\. Start the stack with 'mpg up'\.$"):
                async with MpgClient.connect(settings):
                    pass
            assert time.monotonic() - begun < 10  # without a bound of its own it would wait for ever


async def test_worker_that_is_not_there_is_said(mpg: MpgClient, temporal: Client) -> None:
    cluster_id = new_cluster_id()
    await temporal.start_workflow(
        "Cluster", state_of(cluster_id, "alone"), id=names.cluster_workflow_id(cluster_id), task_queue="nobody"
    )
    with pytest.raises(StackDown, match="The worker does not answer"):
        await mpg.view(cluster_id)


# --- views that are kept ----------------------------------------------------------------------------------------------


async def test_a_kept_view_is_answered_again_until_its_workflow_has_gone_on(mpg: MpgClient, temporal: Client) -> None:
    cluster, keeping = await add_cluster(temporal, "kept"), mpg.keeping_views()
    first = await keeping.view("kept")
    assert await keeping.acting_as("token:x").view("kept") is first, "not asked for a second time"
    workflow = temporal.get_workflow_handle(names.cluster_workflow_id(cluster))
    for number in range(20):
        run = BackupRun(
            operation_id=f"backup/kept/{number}", run_id="r", type=BackupType.FULL, started_at=datetime.now(UTC)
        )
        await workflow.signal("back_up", run)
        views = await asyncio.gather(*(keeping.view("kept") for _ in range(5)))
        assert [each.state.status.backups.running for each in views] == [run] * 5, "each asked after it was said"
    await workflow.signal("end")
    await workflow.result()
    assert (await keeping.view(cluster)).state.status.phase == "destroyed"
    assert await keeping.find(new_cluster_id()) is None


async def test_a_kept_view_needs_no_worker(settings: Settings, temporal: Client) -> None:
    name, queue = f"alone-{secrets.token_hex(3)}", secrets.token_hex(8)
    cluster = new_cluster_id()
    async with MpgClient.connect(settings) as connected:
        keeping = connected.keeping_views()
        async with Worker(temporal, task_queue=queue, workflows=[StubCluster]):
            state = state_of(cluster, name, "personal")
            await temporal.start_workflow("Cluster", state, id=names.cluster_workflow_id(cluster), task_queue=queue)
            await keeping.view(cluster)  # begun just now, it goes on meanwhile
            known = await keeping.view(cluster)
        assert await keeping.view(cluster) is known
