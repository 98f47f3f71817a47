"""A worker with another master key than a cluster's nodes does nothing to it."""

import asyncio
import dataclasses
import itertools
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, File
from activities.engine.labels import Kind, StateLabel, make_labels
from activities.recovery import key_guard
from activities.recovery.key_guard import KEY_FILE, ClusterKeys, GuardedActivities
from model import effects
from model.cluster import WRONG_MASTER_KEY, ClusterStatus, Condition
from model.effects import Alarm, AlarmKind, NodeRef, Target, WatchInput
from model.errors import WrongMasterKey
from model.names import node_container
from model.secrets import key_id

CLUSTER, OURS, OTHER = "c" * 16, b"k" * 32, b"x" * 32
OPERATION, HEALED = "Switchover", Alarm(kind=AlarmKind.NODE, name="a", how="its process ended")


class Engine:
    """Two nodes' containers, and the files that they were given."""

    def __init__(self, *keys: bytes | None) -> None:
        self.looks = 0
        self._count = itertools.count()
        self.files: dict[tuple[str, str], bytes] = {}
        self.nodes: dict[str, ContainerInfo] = {}
        for name, key in zip("ab", keys, strict=False):
            self.make(name, key)

    def make(self, name: str, key: bytes | None) -> None:
        """Make a node's container, or make it again; what is on its volume stays."""
        state = StateLabel(cluster_id=CLUSTER, cluster_name="orders", key_id=None if key is None else key_id(key))
        container = node_container(CLUSTER, name)
        self.nodes[container] = ContainerInfo(
            id=f"made-{next(self._count)}",
            name=container,
            running=True,
            exit_code=0,
            started_at=datetime.now(UTC),
            labels=make_labels(CLUSTER, Kind.NODE, name, state=state),
            image="",
            addresses={},
            gateways={},
        )

    async def inspect(self, container: str) -> ContainerInfo | None:
        self.looks += 1
        return self.nodes.get(container)

    async def get_file(self, container: str, path: str) -> bytes | None:
        return self.files.get((container, path))

    async def put_files(self, container: str, files: dict[str, File]) -> None:
        self.files |= {(container, path): file.content for path, file in files.items()}


def keys_of(engine: Engine, master_key: bytes = OURS) -> ClusterKeys:
    return ClusterKeys(cast("DockerEngine", engine), master_key)


async def fits(engine: Engine, master_key: bytes = OURS) -> bool:
    return await keys_of(engine, master_key).mismatch(CLUSTER) is None


class Following(ActivityInboundInterceptor):
    """What the guard lets through."""

    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return HEALED


async def run(keys: ClusterKeys, effect: str, arg: Any, workflow: str = OPERATION) -> Any:
    guarded = GuardedActivities(keys).intercept_activity(Following())
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, activity_type=effect, workflow_type=workflow)
    activity = ExecuteActivityInput(fn=run, args=[arg], executor=None, headers={})
    return await environment.run(guarded.execute_activity, activity)


def watch(message: str = "") -> WatchInput:
    """Watch a cluster that has *message* on record about its key."""
    condition = Condition(type=WRONG_MASTER_KEY, status=True, since=datetime.now(UTC), message=message)
    return WatchInput(cluster_id=CLUSTER, status=ClusterStatus(conditions=(condition,) if message else ()))


@pytest.mark.parametrize("keys", [(OURS, OURS), (None, None), (OURS,), ()])
async def test_cluster_with_this_key_or_of_older_versions_is_looked_at_once(keys: tuple[bytes | None, ...]) -> None:
    engine = Engine(*keys)
    guard = keys_of(engine)
    for _ in range(3):
        assert await run(guard, effects.FENCE_NODE.name, NodeRef(cluster_id=CLUSTER, name="a")) == HEALED
    assert engine.looks == 2


@pytest.mark.parametrize("keys", [(OTHER, OTHER), (OURS, OTHER), (None, OTHER)])
@pytest.mark.parametrize(
    ("effect", "arg"),
    [
        (effects.FENCE_NODE.name, NodeRef(cluster_id=CLUSTER, name="a")),
        (effects.SET_SYNCHRONOUS.name, effects.SetSynchronousInput(
            target=Target(cluster_id=CLUSTER, address="10.0.0.2"), standby=None)),
        (effects.TAKE_TURN.name, NodeRef(cluster_id=CLUSTER, name="a")),
    ],
)  # fmt: skip
async def test_no_step_touches_a_cluster_with_another_key(
    keys: tuple[bytes | None, ...], effect: str, arg: Any
) -> None:
    with pytest.raises(WrongMasterKey, match=f"Cluster orders has the master key with id {key_id(OTHER)}") as caught:
        await run(keys_of(Engine(*keys)), effect, arg)
    assert "mpg adopt orders --new-key" in caught.value.remedy


@pytest.mark.parametrize(
    ("effect", "workflow"),
    [
        (effects.ENSURE_ACCESS.name, "AdoptCluster"),
        (effects.READ_CLUSTER.name, "AdoptCluster"),
        (effects.TAKE_TURN.name, "AdoptCluster"),
        (effects.TAKE_TURN.name, "DestroyCluster"),
        (effects.REMOVE_CLUSTER.name, "Cluster"),
        (effects.COMMIT_FACTS.name, OPERATION),
    ],
)
async def test_what_is_meant_for_another_key_or_needs_none_is_let_through(effect: str, workflow: str) -> None:
    arg = NodeRef(cluster_id=CLUSTER, name="a")
    assert await run(keys_of(Engine(OTHER, OTHER)), effect, arg, workflow) == HEALED


async def test_watch_tells_of_another_key_once_and_then_waits_until_the_cluster_has_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_guard, "LOOK_EVERY_S", 0.01)
    engine = Engine(OTHER, OTHER)
    told = await run(keys_of(engine), effects.WATCH_CLUSTER.name, watch())
    assert told.kind is AlarmKind.MASTER_KEY
    assert key_id(OTHER) in told.how
    waiting = asyncio.create_task(run(keys_of(engine), effects.WATCH_CLUSTER.name, watch(told.how)))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    await keys_of(engine).give(CLUSTER)
    over = await asyncio.wait_for(waiting, 10)
    assert (over.kind, over.how) == (AlarmKind.MASTER_KEY, "")
    assert await run(keys_of(engine), effects.WATCH_CLUSTER.name, watch()) == HEALED


async def test_watch_with_the_right_key_again_takes_back_what_was_told() -> None:
    over = await run(keys_of(Engine(OURS, OURS)), effects.WATCH_CLUSTER.name, watch("Another key."))
    assert (over.kind, over.how) == (AlarmKind.MASTER_KEY, "")


async def test_key_that_nodes_were_given_counts_more_than_their_labels() -> None:
    engine = Engine(OTHER, OTHER)
    await keys_of(engine).give(CLUSTER)
    assert await fits(engine)
    assert not await fits(engine, OTHER)


async def test_node_that_is_made_again_has_the_key_of_its_label() -> None:
    """A former container's file is still on its volume."""
    engine = Engine(OURS, OURS)
    await keys_of(engine, OTHER).give(CLUSTER)
    assert not await fits(engine)
    for name in "ab":
        engine.make(name, OURS)
    assert (node_container(CLUSTER, "a"), KEY_FILE) in engine.files
    assert await fits(engine)
