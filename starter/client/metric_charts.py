"""The charts of a cluster, and what Prometheus is asked for each: a fixed table, pure functions.

A query is made of names in this module, numbers, an id that was checked, and a database's name as a quoted string.

Every value is one over a window, so that nothing of before a gap is shown in it: rates over four scrapes at least,
others the highest of the step. What is exported by two workers in turn is one series (``without (instance, job)``).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from model import names
from model.validation import checked
from starter.client.metric_shapes import MetricsRange, Unit

SCRAPE_S = 15
"""Between two scrapes (the Prometheus that the stack runs), in seconds."""
_RATE_S = 4 * SCRAPE_S
_END_S = 16
"""There is a sample in so many seconds where scrapes went on; so far Prometheus reckons a rate to go on as well."""
_WHOLE_S = 480
"""Windows of rates up to this long, in seconds, have to be whole; in longer ones a part is as good as it gets."""
_HIGHEST_S = 2 * SCRAPE_S
_SIZES_S = 120
"""Sizes of databases are looked at once a minute."""
_GRID_S = 60
"""The last point is the last whole step, or the last whole minute where a step is longer."""
MOST_DATABASES = 10
"""The largest so many are drawn."""
NODES = 'role=~"primary|replica"'
PRIMARY, REPLICA, POOLER = 'role="primary"', 'role="replica"', 'role="pooler"'


class Scope(NamedTuple):
    """What a query is about: a cluster, one database or all of them, and the seconds of a step."""

    cluster: str
    database: str
    """A matcher with a comma before it, or empty."""
    step: int

    def rate(self, metric: str, *matchers: str, of_database: bool = True, least_s: int = _RATE_S) -> str:
        """Return how fast a counter grows, a second, over *least_s* at least.

        Prometheus has a window with samples in a part of it grow less, as if nothing had happened in the rest. So
        windows need samples at both ends: before and after a gap, or in the role that a node got, is no dip. Longer
        ones than usual are for what is looked at seldom, which begins and ends in the middle of them.
        """
        chosen, seconds = self.chosen(metric, *matchers, of_database=of_database), max(self.step, least_s)
        grown = f"rate({chosen}[{seconds}s])"
        if seconds <= _WHOLE_S and least_s == _RATE_S:
            end = max(_END_S, seconds // 8)
            ends = (f"last_over_time({chosen}[{end}s]{past})" for past in ("", f" offset {seconds - end}s"))
            grown = " and ".join((grown, *ends))
        return f"max without (instance, job) ({grown})"

    def highest(self, metric: str, *matchers: str, of_database: bool = False, least_s: int = _HIGHEST_S) -> str:
        """Return the highest value of a gauge."""
        chosen = self.chosen(metric, *matchers, of_database=of_database)
        return f"max without (instance, job) (max_over_time({chosen}[{max(self.step, least_s)}s]))"

    def chosen(self, metric: str, *matchers: str, of_database: bool = False) -> str:
        """Return the series of a metric that this is about."""
        return f"{metric}{{{', '.join((self.cluster, *matchers))}{self.database if of_database else ''}}}"


class Window(NamedTuple):
    """The points that are asked for, both ends included; in Unix seconds, *step* seconds apart."""

    since: int
    until: int
    step: int

    @property
    def times(self) -> tuple[int, ...]:
        """When each of the points is."""
        return tuple(range(self.since, self.until + 1, self.step))


class Line(NamedTuple):
    """A query, and the name of each series that it finds: a format of its labels, with ``who`` for P, R or a pooler."""

    query: str
    name: str
    limit: bool = False


class Chart(NamedTuple):
    """A chart: what it is called, counted in, and made of."""

    id: str
    title: str
    unit: Unit
    lines: Callable[[Scope], tuple[Line, ...]]
    by_database: bool = False


def scope(cluster_id: str, reach: MetricsRange, database: str | None) -> Scope:
    """Return what to ask about. Raises InvalidInput for what is no cluster's id."""
    of_database = "" if database is None else f", database={quoted(database)}"
    return Scope(f"cluster={quoted(checked(names.check_cluster_id, cluster_id))}", of_database, reach.step)


def window(reach: MetricsRange, now: float) -> Window:
    """Return the points of *reach* up to *now*, in Unix seconds."""
    grid = min(reach.step, _GRID_S)
    until = int(now) // grid * grid
    return Window(until - reach.seconds, until, reach.step)


def quoted(value: str) -> str:
    r"""Return *value* as a string of PromQL, in which only ``"``, ``\`` and the end of a line mean something."""
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def series_name(line: Line, labels: Mapping[str, str]) -> str:
    """Return what the series with *labels* is called: ``P active``."""
    words = {name: value if name == "database" else value.replace("_", " ") for name, value in labels.items()}
    # A label that is not there is empty.
    return line.name.format_map(defaultdict(str, words, who=_who(labels))).strip()


def _who(labels: Mapping[str, str]) -> str:
    container = labels.get("container", "").replace("pooler-", "pooler ")
    return {"primary": "P", "replica": "R"}.get(labels.get("role", ""), container)


def _cpu(of: Scope) -> tuple[Line, ...]:
    def share(who: str) -> str:
        used = of.rate("mpg_container_cpu_seconds_total", who, of_database=False)
        given = of.highest("mpg_container_cpu_limit_cores", who)
        return f"100 * max by (role, container) ({used}) / max by (role, container) ({given})"

    return (Line(f"max by (role) ({share(NODES)})", "{who}"), Line(f"max by (container) ({share(POOLER)})", "{who}"))


def _memory(of: Scope) -> tuple[Line, ...]:
    used, given = "mpg_container_memory_bytes", "mpg_container_memory_limit_bytes"
    return (
        Line(f"max by (role) ({of.highest(used, NODES)})", "{who}"),
        Line(f"max by (container) ({of.highest(used, POOLER)})", "{who}"),
        Line(f"max({of.highest(given, NODES)})", "limit", limit=True),
        Line(f"max({of.highest(given, POOLER)})", "pooler limit", limit=True),
    )


def _connections(of: Scope) -> tuple[Line, ...]:
    metric = "mpg_database_connections"
    shown = 'state=~"active|idle|idle_in_transaction"'
    return (
        Line(_in_role(of.highest(metric, PRIMARY, shown, of_database=True), "state"), "{who} {state}"),
        Line(_in_role(of.highest(metric, REPLICA, of_database=True)), "{who} all"),
        Line(f"max({of.highest('mpg_database_connections_limit', PRIMARY)})", "limit", limit=True),
    )


def connections_by_database(of: Scope) -> str:
    """Return what finds the sessions of each database on the primary, as last counted."""
    last = f"last_over_time({of.chosen('mpg_database_connections', PRIMARY)}[{_HIGHEST_S}s])"
    return f"max by (database) (sum by (database, node) (max without (instance, job) ({last})))"


def _poolers(of: Scope) -> tuple[Line, ...]:
    return tuple(
        Line(f"sum by (state) ({of.highest(f'mpg_pooler_{what}', of_database=True)})", f"{what} {{state}}")
        for what in ("clients", "servers")
    )


def _rows(of: Scope) -> tuple[Line, ...]:
    def found(who: str, operation: str) -> Line:
        rate = of.rate("mpg_database_rows_total", who, f'operation="{operation}"')
        return Line(_in_role(rate, "operation"), "{who} {operation}")

    changes = (found(PRIMARY, each) for each in ("inserted", "updated", "deleted"))
    return (*changes, found(NODES, "fetched"))


def _transactions(of: Scope) -> tuple[Line, ...]:
    found = of.rate("mpg_database_transactions_total", NODES)
    return (Line(_in_role(found, "outcome"), "{who} {outcome}"),)


def _cache(of: Scope) -> tuple[Line, ...]:
    def blocks(*sources: str) -> str:
        return f"sum by (role, node) ({of.rate('mpg_database_blocks_total', NODES, *sources)})"

    hits = blocks('source="hit"')
    return (Line(f"100 * max by (role) ({hits} / {blocks()})", "{who}"),)


def _in_role(of_databases: str, *labels: str) -> str:
    """Return the sum over databases on the node that has a role: at the end of a window with a takeover two have it."""
    kept = ", ".join(("role", *labels))
    return f"max by ({kept}) (sum by ({kept}, node) ({of_databases}))"


def _deadlocks(of: Scope) -> tuple[Line, ...]:
    return (Line(f"60 * sum({of.rate('mpg_database_deadlocks_total', NODES)})", "deadlocks"),)


def _sizes(of: Scope) -> tuple[Line, ...]:
    found = of.highest("mpg_database_size_bytes", PRIMARY, of_database=True, least_s=_SIZES_S)
    return (Line(f"topk({MOST_DATABASES}, max by (database) ({found}))", "{database}"),)


def _storage(of: Scope) -> tuple[Line, ...]:
    return (
        Line(f"max by (role) ({of.highest('mpg_storage_used_bytes', NODES)})", "{who}"),
        Line(f"max({of.highest('mpg_storage_provided_bytes')})", "provided", limit=True),
    )


def _lag(unit: Unit) -> Callable[[Scope], tuple[Line, ...]]:
    return lambda of: (Line(f"max({of.highest(f'mpg_replication_lag_{unit.value}')})", "R"),)


CHARTS = (
    Chart("cpu", "CPU", Unit.PERCENT, _cpu),
    Chart("memory", "Memory", Unit.BYTES, _memory),
    Chart("connections", "Database connections", Unit.COUNT, _connections, by_database=True),
    Chart("poolers", "Pooler connections", Unit.COUNT, _poolers, by_database=True),
    Chart("rows", "Row operations", Unit.PER_SECOND, _rows, by_database=True),
    Chart("transactions", "Transactions", Unit.PER_SECOND, _transactions, by_database=True),
    Chart("cache", "Cache hit ratio", Unit.PERCENT, _cache, by_database=True),
    Chart("deadlocks", "Deadlocks", Unit.PER_MINUTE, _deadlocks, by_database=True),
    Chart("sizes", "Database sizes", Unit.BYTES, _sizes, by_database=True),
    Chart("storage", "Storage", Unit.BYTES, _storage),
    Chart("lag-bytes", "Replication lag, bytes", Unit.BYTES, _lag(Unit.BYTES)),
    Chart("lag-seconds", "Replication lag, time", Unit.SECONDS, _lag(Unit.SECONDS)),
)
"""In the order in which they are shown."""
