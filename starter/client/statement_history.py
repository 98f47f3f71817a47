"""How often statements ran and how long they took, over a range: what Prometheus is asked, and what it answers."""

import asyncio
from collections.abc import Collection

from model.settings import Settings
from starter.client.metric_charts import PRIMARY, Scope, Window, quoted
from starter.client.metric_shapes import MetricsRange, StatementHistoriesShape, StatementHistoryShape
from starter.client.prometheus import NO_PROMETHEUS, Found, NoAnswer, Prometheus

LOOKS_S = 300
"""The shortest window of a rate, in seconds: statements are looked at once a minute."""
_BY = "statement, database"


def calls_query(of: Scope, statements: Collection[str]) -> str:
    """Return the query for how often each of *statements*, ids that were checked, ran, a second."""
    return f"max by ({_BY}) ({_rate(of, 'calls', statements)})"


def mean_query(of: Scope, statements: Collection[str]) -> str:
    """Return the query for how long a call of each took in the mean, in milliseconds; none where there was none."""
    seconds, calls = _rate(of, "seconds", statements), _rate(of, "calls", statements)
    return f"1000 * max by ({_BY}) ({seconds} / {calls})"


def _rate(of: Scope, what: str, statements: Collection[str]) -> str:
    chosen = f"statement=~{quoted('|'.join(sorted(statements)))}"
    return of.rate(f"mpg_statement_{what}_total", PRIMARY, chosen, of_database=False, least_s=LOOKS_S)


async def read_histories(
    settings: Settings,
    gate: asyncio.Semaphore,
    of: Scope,
    reach: MetricsRange,
    window: Window,
    statements: Collection[str],
) -> StatementHistoriesShape:
    """Return the histories of *statements* over *window*, or why there are none.

    *gate* bounds what is asked at once.
    """
    none = StatementHistoriesShape(range=reach, times=window.times, statements=())
    if settings.prometheus_target is None:
        return none.model_copy(update={"unavailable": NO_PROMETHEUS})
    if not statements:
        return none
    try:
        async with Prometheus.connect(settings, gate) as prometheus:
            calls, means = await asyncio.gather(
                *(prometheus.range(query(of, statements), window) for query in (calls_query, mean_query))
            )
    except NoAnswer as failed:
        return none.model_copy(update={"unavailable": str(failed)})
    return none.model_copy(update={"statements": _histories(calls, means, window)})


def _histories(calls: list[Found], means: list[Found], window: Window) -> tuple[StatementHistoryShape, ...]:
    mean_of = {_key(each): each.values for each in means}
    return tuple(
        StatementHistoryShape(
            id=each.labels["statement"],
            database=each.labels["database"],
            calls_per_second=each.values,
            mean_ms=mean_of.get(_key(each), (None,) * len(window.times)),
        )
        for each in sorted(calls, key=_key)
    )


def _key(found: Found) -> tuple[str, str]:
    return found.labels["statement"], found.labels["database"]
