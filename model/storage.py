"""How much of its storage a cluster uses, and what follows from that. Docs: docs/storage.md.

Sizes are in bytes, storage that is provided in GB of 2^30 bytes for each node.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field

from model.base import Record

GB = 2**30
MAX_STORAGE_GB = 1000
"""In all, for each node; a cluster may be made with up to half of that."""
LOW_SHARE, LOW_OVER_SHARE = 0.85, 0.83
"""Storage is low from the first on, and not any more below the second."""
FULL_SHARE, FULL_OVER_SHARE = 0.95, 0.90
"""A cluster is read-only from the first on, and takes writes again below the second."""
LEFT_BYTES = 2 * GB
LEFT_SHARE = 0.075
"""With less than 2 GB left it is read-only too, where that is at most so much of the storage (from 27 GB on): on less,
2 GB are more than the tenth that has to be free before it takes writes again. Storage of 1 GB has never 2 GB left."""

HISTORY = 24
"""How many looks are kept to tell how fast a cluster grows."""
HISTORY_SPAN = timedelta(days=14)
LEAST_SPAN = timedelta(minutes=10)
"""Looks that are closer together tell nothing of a rate."""
FAR = timedelta(days=365)
"""What is full later than that is not said to be full on a day."""

TELL_SHARE = 0.02
"""A change of so much of the storage is recorded, but not more often than :data:`TELL_EVERY`."""
TELL_EVERY = timedelta(minutes=5)
TELL_AT_LEAST_EVERY = timedelta(hours=6)
LOOK_S, LOOK_SOON_S = 60.0, 10.0
"""How often a cluster is looked at, and how often one that may be full before the look after the next."""


class StorageLevel(StrEnum):
    """How full the fullest node of a cluster is."""

    OK = "ok"
    LOW = "low"
    FULL = "full"
    """The cluster is read-only."""


class AutoGrow(Record):
    """Growth by itself: by ``step_gb`` each time that storage is low, up to ``max_gb``."""

    step_gb: int
    max_gb: int


KNOWN_FOR = timedelta(minutes=3)
"""A node that has given no answer for longer is not known: beside a primary that answers it does not count."""


class NodeUsage(Record):
    """What a node's Postgres has on its volume. ``seen_at`` is when a node that gave no answer gave its last one."""

    name: str
    data_bytes: int
    wal_bytes: int
    temp_bytes: int
    seen_at: AwareDatetime | None = None

    @property
    def used_bytes(self) -> int:
        """All of it."""
        return self.data_bytes + self.wal_bytes + self.temp_bytes


class DatabaseUsage(Record):
    """A database's size on the primary."""

    name: str
    bytes: int


class StorageLook(Record):
    """What was seen. ``read_only`` is whether the primary begins transactions read-only; None if it was not asked."""

    at: AwareDatetime
    nodes: tuple[NodeUsage, ...] = ()
    databases: tuple[DatabaseUsage, ...] = ()
    read_only: bool | None = None

    @property
    def known(self) -> tuple[NodeUsage, ...]:
        """The nodes that count. A primary that gives no answer does: it takes the writes once it is back."""
        if self.read_only is None:
            return self.nodes
        return tuple(node for node in self.nodes if node.seen_at is None or self.at - node.seen_at <= KNOWN_FOR)

    @property
    def used_bytes(self) -> int:
        """What the fullest node that counts uses: each has the whole storage for itself."""
        return max((node.used_bytes for node in self.known), default=0)


class UsedAt(Record):
    """What the fullest node used at a time."""

    at: AwareDatetime
    used_bytes: int


class Storage(Record):
    """What is on record of a cluster's storage."""

    level: StorageLevel = StorageLevel.OK
    look: StorageLook | None = None
    """The last one that was worth telling."""
    history: tuple[UsedAt, ...] = Field(default=(), max_length=HISTORY)

    @property
    def read_only(self) -> bool:
        """Whether clients may only read."""
        return self.level is StorageLevel.FULL


def full_from(provided_bytes: int) -> int:
    """Return from how many used bytes on a cluster is read-only."""
    share = int(provided_bytes * FULL_SHARE)
    return min(share, provided_bytes - LEFT_BYTES) if provided_bytes * LEFT_SHARE >= LEFT_BYTES else share


def level_after(before: StorageLevel, used_bytes: int, provided_bytes: int) -> StorageLevel:
    """Return how full a cluster is that was as full as *before*: what is between two lines stays what it was."""
    if used_bytes >= full_from(provided_bytes):
        return StorageLevel.FULL
    share = used_bytes / provided_bytes
    if before is StorageLevel.FULL and share >= FULL_OVER_SHARE:
        return StorageLevel.FULL
    low_from = LOW_SHARE if before is StorageLevel.OK else LOW_OVER_SHARE
    return StorageLevel.LOW if share >= low_from else StorageLevel.OK


def filled_in(look: StorageLook, former: StorageLook | None, *, tells_for: timedelta = KNOWN_FOR) -> StorageLook:
    """Return *look*, with nodes that gave no answer as in the *former* one, and since when they are silent.

    A *former* look that is older than *tells_for*, such as one on record, does not tell that: a node that answered then
    and is missed for the first time is silent since *look*.
    """
    seen = {node.name for node in look.nodes}
    if former is None or all(node.name in seen for node in former.nodes):
        return look
    since = former.at if look.at - former.at <= tells_for else look.at
    silent = (
        node.model_copy(update={"seen_at": node.seen_at or since}) for node in former.nodes if node.name not in seen
    )
    return look.model_copy(update={"nodes": (*look.nodes, *silent)})


def answers_again(told: StorageLook | None, look: StorageLook) -> bool:
    """Tell whether a node answers that was silent when *told*: else its next silence would seem to last since then."""
    silent = {node.name for node in told.nodes if node.seen_at is not None} if told else set[str]()
    return any(node.name in silent and node.seen_at is None for node in look.nodes)


def without_silence(look: StorageLook) -> StorageLook:
    """Return *look* as if all its nodes had given an answer: so it was judged before silence had a bound."""
    nodes = tuple(node.model_copy(update={"seen_at": None}) for node in look.nodes)
    return look.model_copy(update={"nodes": nodes})


def after_look(storage: Storage, look: StorageLook, provided_bytes: int) -> Storage:
    """Return what is on record after *look*. The same look twice changes nothing more."""
    since = look.at - HISTORY_SPAN
    kept = [each for each in storage.history if since <= each.at < look.at]
    history = (*kept, UsedAt(at=look.at, used_bytes=look.used_bytes))[-HISTORY:]
    level = level_after(storage.level, look.used_bytes, provided_bytes)
    return Storage(level=level, look=look, history=history)


def bytes_per_day(history: Sequence[UsedAt]) -> float | None:
    """Return how fast what is used grows, by least squares; None where the looks tell nothing of that."""
    if len(history) < 3 or history[-1].at - history[0].at < LEAST_SPAN:
        return None
    days = [(each.at - history[0].at) / timedelta(days=1) for each in history]
    used = [float(each.used_bytes) for each in history]
    mean_day, mean_used = sum(days) / len(days), sum(used) / len(used)
    spread = sum((day - mean_day) ** 2 for day in days)
    return sum((day - mean_day) * (size - mean_used) for day, size in zip(days, used, strict=True)) / spread


def full_on(storage: Storage, provided_bytes: int) -> datetime | None:
    """Return when all is used at the present rate; None where it does not grow, is not known to, or it is far off."""
    rate = bytes_per_day(storage.history)
    if storage.look is None or rate is None or rate <= 0:
        return None
    left = max(0, provided_bytes - storage.look.used_bytes)
    days = left / rate
    return storage.look.at + timedelta(days=days) if days < FAR / timedelta(days=1) else None


def is_worth_telling(storage: Storage, look: StorageLook, provided_bytes: int) -> bool:
    """Tell whether *look* is to go on record: it is what makes events in the history of a cluster at rest."""
    told = storage.look
    if told is None or level_after(storage.level, look.used_bytes, provided_bytes) is not storage.level:
        return True
    if look.read_only is not None and look.read_only is not storage.read_only:
        return True
    since = look.at - told.at
    changed = abs(look.used_bytes - told.used_bytes) >= TELL_SHARE * provided_bytes
    return since >= TELL_AT_LEAST_EVERY or (changed and since >= TELL_EVERY)


def look_again_s(used: Sequence[UsedAt], provided_bytes: int) -> float:
    """Return in how many seconds to look again, after what was *used* at the last two looks."""
    now = used[-1]
    if now.used_bytes >= LOW_SHARE * provided_bytes:
        return LOOK_SOON_S
    passed = (now.at - used[0].at).total_seconds()
    if passed <= 0:
        return LOOK_S
    rate = (now.used_bytes - used[0].used_bytes) / passed
    return LOOK_SOON_S if now.used_bytes + rate * 2 * LOOK_S >= full_from(provided_bytes) else LOOK_S
