"""From a look at a cluster's storage to facts and conditions, and whether it is to grow by itself."""

from datetime import datetime

from model.cluster import ClusterState, Condition
from model.facts import ConditionIs, Fact, StorageSeen
from model.storage import (
    GB,
    MAX_STORAGE_GB,
    AutoGrow,
    Storage,
    StorageLevel,
    StorageLook,
    after_look,
    bytes_per_day,
    full_on,
)

STORAGE_LOW = "StorageLow"
STORAGE_FULL = "StorageFull"
_CONDITIONS = {StorageLevel.LOW: STORAGE_LOW, StorageLevel.FULL: STORAGE_FULL}


def facts_after(state: ClusterState, look: StorageLook, now: datetime) -> tuple[Fact, ...]:
    """Return what is to be recorded after *look*: what is used, and the conditions that hold or do not any more."""
    provided = state.spec.storage_gb * GB
    storage = after_look(state.status.storage, look, provided)
    conditions = (_condition(state, storage, level, now) for level in _CONDITIONS)
    return StorageSeen(storage=storage), *(each for each in conditions if each is not None)


def grown_to(storage_gb: int, growth: AutoGrow | None) -> int | None:
    """Return to how many GB a cluster whose storage is low grows by itself; None where it does not."""
    if growth is None:
        return None
    grown = min(storage_gb + growth.step_gb, growth.max_gb, MAX_STORAGE_GB)
    return grown if grown > storage_gb else None


def _condition(state: ClusterState, storage: Storage, level: StorageLevel, now: datetime) -> ConditionIs | None:
    kind = _CONDITIONS[level]
    held = state.status.condition(kind)
    if storage.level is not level:
        return held and ConditionIs(condition=held.model_copy(update={"status": False}))
    message = _low(state, storage) if level is StorageLevel.LOW else _full(state, storage)
    return ConditionIs(condition=Condition(type=kind, status=True, since=held.since if held else now, message=message))


def _low(state: ClusterState, storage: Storage) -> str:
    return f"{_used(state, storage)}. {_when(state, storage)} {_grow(state)}"


def _full(state: ClusterState, storage: Storage) -> str:
    return (
        f"{_used(state, storage)}: clients can only read until less than 90 % is used. To free space, say SET "
        "default_transaction_read_only = off in a session, then DELETE and VACUUM FULL, or DROP. "
        f"{_grow(state)}"
    )


def _used(state: ClusterState, storage: Storage) -> str:
    assert storage.look is not None, "judged by it"
    provided, used = state.spec.storage_gb, storage.look.used_bytes
    look = storage.look
    node = max(look.known, key=lambda each: each.used_bytes).name
    silent = [each for each in look.nodes if each not in look.known]
    unknown = "".join(
        f"What node {each.name} uses is not known since {each.seen_at:%Y-%m-%d %H:%M} UTC. " for each in silent
    )
    return f"{unknown}Node {node} uses {used / GB:.2f} of its {provided} GB ({100 * used / GB / provided:.0f} %)"


def _when(state: ClusterState, storage: Storage) -> str:
    rate = bytes_per_day(storage.history)
    if rate is None:
        return "How fast it grows is not known yet."
    if rate <= 0:
        return "It is not growing."
    day = full_on(storage, state.spec.storage_gb * GB)
    said = f"It grows by {rate / GB:.2f} GB a day"
    return f"{said}, and is full on {day:%Y-%m-%d} at that rate." if day else f"{said}: it is not full within a year."


def _grow(state: ClusterState) -> str:
    spec = state.spec
    if spec.storage_gb >= MAX_STORAGE_GB:
        return f"It has the most that there is, {MAX_STORAGE_GB} GB."
    wanted = min(2 * spec.storage_gb, MAX_STORAGE_GB)
    return f"For more storage: mpg storage {spec.name} --grow-to {wanted}."
