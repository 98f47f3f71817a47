"""The series that the stack exports of a cluster, made up: of known values, steady or in waves."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MB = 2**20
GB = 2**30
_PERIOD_S = 2400.0
_ORIGIN = 1_700_000_000.0

LIMIT_CORES, NODE_MEMORY, POOLER_MEMORY = 2.0, 1 * GB, 128 * MB
CONNECTIONS_LIMIT = 100
STORAGE = 10 * GB
CPU_CORES = {"primary": 0.5, "replica": 0.2, "pooler": 0.1}
MEMORY = {"primary": 600 * MB, "replica": 400 * MB, "pooler": 24 * MB}
STATES = {"active": 6.0, "idle": 18.0, "idle_in_transaction": 2.0, "other": 1.0}
ROWS = {"inserted": 120.0, "updated": 60.0, "deleted": 15.0, "fetched": 900.0, "returned": 4000.0}
OUTCOMES = {"committed": 200.0, "rolled_back": 4.0}
BLOCKS = {"hit": 990.0, "read": 10.0}
DEADLOCKS = 0.05
SIZE = 300 * MB
"""Of the first database; the second one has twice that, and so on."""
USED = 4 * GB
LAG_BYTES, LAG_SECONDS = 64 * 1024, 0.02
POOLED = {"clients": {"active": 12.0, "waiting": 1.0}, "servers": {"active": 5.0, "idle": 15.0}}
POOLERS = ("1-1", "1-2")


NONE: Mapping[str, str] = {}


class Sample(NamedTuple):
    """A value of a series."""

    name: str
    labels: Mapping[str, str]
    value: float

    def line(self, at: float | None = None) -> str:
        """Return it as it is exposed, with its time in seconds where that is to be told."""
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {self.value!r}" + ("" if at is None else f" {at:.0f}")


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Made:
    """What a cluster exports at one moment, with node *primary* in that role; but for sizes databases are alike."""

    def __init__(self, cluster: str, at: float, *, primary: str = "a", databases: Sequence[str], wave: float) -> None:
        self._of = {"cluster": cluster, "org": "personal"}
        self._at = at - _ORIGIN
        self._primary = primary
        self._databases = databases
        self._wave = wave

    def samples(self) -> Iterable[Sample]:
        nodes = {"primary": self._primary, "replica": "ab".replace(self._primary, "")}
        yield from self._containers(nodes)
        for place, (role, node) in enumerate(nodes.items()):
            yield from self._node({"node": node, "role": role}, place)
        yield self._gauge("mpg_storage_provided_bytes", STORAGE, steady=True)
        yield self._gauge("mpg_replication_lag_bytes", LAG_BYTES, {"node": nodes["replica"]}, 1.0)
        yield self._gauge("mpg_replication_lag_seconds", LAG_SECONDS, {"node": nodes["replica"]}, 1.0)
        for pooler in POOLERS:
            for database in self._databases:
                for what, states in POOLED.items():
                    for place, (state, value) in enumerate(states.items()):
                        labels = {"pooler": pooler, "database": database, "state": state}
                        yield self._gauge(f"mpg_pooler_{what}", value, labels, place)

    def _containers(self, nodes: Mapping[str, str]) -> Iterable[Sample]:
        listed = [(node, role) for role, node in nodes.items()]
        listed += [(f"pooler-{each}", "pooler") for each in POOLERS]
        for place, (container, role) in enumerate(listed):
            labels = {"container": container, "role": role}
            memory = POOLER_MEMORY if role == "pooler" else NODE_MEMORY
            yield self._total("mpg_container_cpu_seconds_total", CPU_CORES[role], labels, place)
            yield self._gauge("mpg_container_cpu_limit_cores", LIMIT_CORES, labels, steady=True)
            yield self._gauge("mpg_container_memory_bytes", MEMORY[role], labels, place)
            yield self._gauge("mpg_container_memory_limit_bytes", memory, labels, steady=True)

    def _node(self, node: dict[str, str], place: int) -> Iterable[Sample]:
        yield self._gauge("mpg_node_up", 1, node, steady=True)
        yield self._gauge("mpg_database_connections_limit", CONNECTIONS_LIMIT, node, steady=True)
        yield self._gauge("mpg_storage_used_bytes", USED + place * GB, node, steady=True)
        for number, database in enumerate(self._databases):
            of = {**node, "database": database}
            yield self._gauge("mpg_database_size_bytes", SIZE * (number + 1), of, steady=True)
            yield self._total("mpg_database_deadlocks_total", DEADLOCKS if place == 0 else 0, of, number)
            for metric, label, values in (
                ("mpg_database_rows_total", "operation", ROWS),
                ("mpg_database_transactions_total", "outcome", OUTCOMES),
                ("mpg_database_blocks_total", "source", BLOCKS),
            ):
                for turn, (each, value) in enumerate(values.items()):
                    yield self._total(metric, value, {**of, label: each}, turn + place)
            for turn, (state, value) in enumerate(STATES.items()):
                yield self._gauge("mpg_database_connections", value, {**of, "state": state}, turn + place)

    def _gauge(
        self, name: str, value: float, labels: Mapping[str, str] = NONE, turn: float = 0, *, steady: bool = False
    ) -> Sample:
        angle = 2 * math.pi * self._at / _PERIOD_S + turn
        wave = 0.0 if steady else self._wave * (0.7 * math.sin(angle) + 0.3 * math.sin(5.3 * angle))
        return Sample(name, {**self._of, **labels}, value * (1 + wave))

    def _total(self, name: str, a_second: float, labels: Mapping[str, str], turn: float = 0) -> Sample:
        """A counter that grows by *a_second* a second, in waves as a gauge is: their integral."""
        turned = 2 * math.pi / _PERIOD_S
        angle = turned * self._at + turn
        wave = -self._wave * (0.7 * math.cos(angle) + 0.3 / 5.3 * math.cos(5.3 * angle)) / turned
        return Sample(name, {**self._of, **labels}, a_second * (self._at + wave))
