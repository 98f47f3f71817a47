"""What Prometheus is asked, and how figures are written."""

import re

import pytest

from model.errors import InvalidInput
from starter.client.metric_charts import CHARTS, Line, quoted, scope, series_name, window
from starter.client.metric_shapes import MetricsRange, SeriesShape, Unit, figure
from starter.client.statement_history import calls_query, mean_query

CLUSTER = "q3v8k2m1x7c9b4n6"
NOW = 1_800_000_123.4
STRING = r'"(?:[^"\\]|\\.)*"'


def queries(reach: MetricsRange, database: str | None = None) -> list[str]:
    of = scope(CLUSTER, reach, database)
    return [line.query for chart in CHARTS for line in chart.lines(of)]


@pytest.mark.parametrize(
    ("reach", "seconds", "step"),
    [
        ("15m", 900, 5), ("1h", 3600, 20), ("6h", 21_600, 120), ("24h", 86_400, 480), ("2d", 172_800, 960),
        ("7d", 604_800, 3360), ("30d", 2_592_000, 14_400),
    ],
)  # fmt: skip
def test_ranges(reach: str, seconds: int, step: int) -> None:
    asked = window(MetricsRange(reach), NOW)
    assert (MetricsRange(reach).seconds, asked.step, asked.until - asked.since) == (seconds, step, seconds)
    assert len(asked.times) == 181
    assert (asked.times[0], asked.times[-1]) == (asked.since, asked.until)
    assert 0 <= NOW - asked.until < 61


def test_there_are_these_ranges_and_no_others() -> None:
    assert [each.value for each in MetricsRange] == ["15m", "1h", "6h", "24h", "2d", "7d", "30d"]


@pytest.mark.parametrize("reach", list(MetricsRange))
def test_rates_are_over_four_scrapes_at_least_and_no_step_is_left_out(reach: MetricsRange) -> None:
    for query in queries(reach):
        for function, seconds in re.findall(r"(rate|max_over_time)\([^\[]+\[(\d+)s\]", query):
            assert int(seconds) >= reach.step
            assert int(seconds) >= (60 if function == "rate" else 30)


@pytest.mark.parametrize(
    ("reach", "ends"),
    [("15m", "[16s] offset 44s"), ("1h", "[16s] offset 44s"), ("6h", "[16s] offset 104s"), ("24h", "[60s] offset 420s"),
     ("2d", ""), ("7d", ""), ("30d", "")],
)  # fmt: skip
def test_rates_need_samples_at_both_ends_of_windows_that_are_short(reach: str, ends: str) -> None:
    rates = [query for query in queries(MetricsRange(reach)) if "rate(" in query]
    assert rates
    for query in rates:
        assert query.count("last_over_time") == (2 * query.count("rate(") if ends else 0)
        assert not ends or query.count(ends) == query.count("rate(")


def test_each_selector_is_of_the_one_cluster() -> None:
    for query in queries(MetricsRange.HOUR, "shop"):
        selectors = re.findall(r"mpg_\w+\{([^}]*)\}", query)
        assert selectors
        assert all(each.startswith(f'cluster="{CLUSTER}"') for each in selectors)


def test_a_database_is_asked_for_in_the_charts_that_say_so_only() -> None:
    of = scope(CLUSTER, MetricsRange.HOUR, "shop")
    narrowed = {chart.id for chart in CHARTS if any('database="shop"' in line.query for line in chart.lines(of))}
    assert narrowed == {chart.id for chart in CHARTS if chart.by_database}
    assert "cpu" not in narrowed
    assert not any("database=" in query for query in queries(MetricsRange.HOUR))


@pytest.mark.parametrize(
    "name", ['a"b', 'a\\"b', "a\\", 'x"} or {__name__=~".+', "two\nlines", "{}", "ä€", "a', b"], ids=repr
)
def test_a_name_cannot_leave_its_string(name: str) -> None:
    text = quoted(name)
    assert re.fullmatch(STRING, text)
    meant = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text[1:-1])
    assert meant == name
    # Outside of its strings each query is the one with any other name.
    bare, expected = ([re.sub(STRING, '""', query) for query in queries(MetricsRange.HOUR, of)] for of in (name, "x"))
    assert bare == expected


@pytest.mark.parametrize("cluster", ['x"}', "orders", "", "q3v8k2m1x7c9b4n6\n"])
def test_what_is_no_id_is_not_asked_about(cluster: str) -> None:
    with pytest.raises(InvalidInput):
        scope(cluster, MetricsRange.HOUR, None)


@pytest.mark.parametrize(
    ("name", "labels", "shown"),
    [
        ("{who} {state}", {"role": "primary", "state": "idle_in_transaction"}, "P idle in transaction"),
        ("{who} {outcome}", {"role": "replica", "outcome": "rolled_back"}, "R rolled back"),
        ("{who}", {"container": "pooler-2-1"}, "pooler 2-1"),
        ("{database}", {"database": "my_{who}_db"}, "my_{who}_db"),
        ("limit", {}, "limit"),
        ("{who} {state}", {}, ""),
    ],
)
def test_series_are_called(name: str, labels: dict[str, str], shown: str) -> None:
    assert series_name(Line("", name), labels) == shown


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, Unit.BYTES, "–"), (0, Unit.BYTES, "0 B"), (1536, Unit.BYTES, "1.5 kB"), (2**30, Unit.BYTES, "1.0 GB"),
        (12.34, Unit.PERCENT, "12.3 %"), (100, Unit.PERCENT, "100 %"), (1204.2, Unit.PER_SECOND, "1,204 /s"),
        (0.05, Unit.PER_MINUTE, "0.05 /min"), (7, Unit.COUNT, "7"), (0.0214, Unit.SECONDS, "21 ms"),
        (3.25, Unit.SECONDS, "3.2 s"),
    ],
)  # fmt: skip
def test_figures(value: float | None, unit: Unit, text: str) -> None:
    assert figure(value, unit) == text


def test_the_latest_value_is_not_one_of_before_a_gap() -> None:
    assert SeriesShape(name="P", values=(1.0, 2.0, 3.0)).latest == 3.0
    assert SeriesShape(name="P", values=(1.0, 2.0, None)).latest == 2.0
    assert SeriesShape(name="P", values=(1.0, None, None)).latest is None


@pytest.mark.parametrize("reach", list(MetricsRange))
def test_histories_of_statements_are_of_the_primary_and_reach_over_several_looks(reach: MetricsRange) -> None:
    of = scope(CLUSTER, reach, None)
    for query in (calls_query(of, ["7", "-42"]), mean_query(of, ["7", "-42"])):
        selectors = re.findall(r"mpg_\w+\{([^}]*)\}\[(\d+)s\]", query)
        assert selectors
        for selector, seconds in selectors:
            assert selector == f'cluster="{CLUSTER}", role="primary", statement=~"-42|7"'
            assert int(seconds) == max(reach.step, 5 * 60)
