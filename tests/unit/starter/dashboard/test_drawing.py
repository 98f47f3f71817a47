"""What the Metrics tab says of charts and marks."""

import json

from model.operations import OperationOutcome
from starter.client.metric_charts import CHARTS
from starter.client.metric_shapes import ChartShape, MarkShape, MetricsRange, MetricsShape, SeriesShape, Unit
from starter.dashboard.metrics.drawing import HINTS, drawing, listed_marks, tones


def chart(id: str, *names: str, **fields: object) -> ChartShape:
    series = tuple(
        SeriesShape(name=name, limit=name == "limit", values=(10.0, None, 30.000000123, 20.0)) for name in names
    )
    made = {"id": id, "title": "CPU", "unit": Unit.PERCENT, "by_database": False, "series": series, **fields}
    return ChartShape.model_validate(made)


def metrics(*charts: ChartShape, database: str | None = None) -> MetricsShape:
    mark = MarkShape(
        id="failover/orders/1",
        kind="Failover",
        failover=True,
        status=OperationOutcome.DONE,
        start=86_400.0,
        end=86_401.5,
    )
    running = mark.model_copy(
        update={"kind": "ChangePlan", "failover": False, "status": OperationOutcome.RUNNING, "end": None}
    )
    return MetricsShape(
        range=MetricsRange.HOUR, database=database, since=86_400, until=86_460, step=20,
        times=(86_400, 86_420, 86_440, 86_460), charts=charts, marks=(running, mark),
    )  # fmt: skip


def test_each_chart_has_a_hint() -> None:
    assert set(HINTS) == {each.id for each in CHARTS}


def test_texts_of_a_chart_are_for_those_who_see_no_lines() -> None:
    [drawn] = drawing(metrics(chart("cpu", "P"))).charts
    assert drawn.summary == "CPU in the last 1h: P 20 %, from 10 % to 30.0 %."
    [row] = drawn.rows
    assert (row.latest, row.lowest, row.average, row.highest) == ("20 %", "10 %", "20.0 %", "30.0 %")
    assert drawn.nothing == ""


def test_a_chart_without_values_says_why() -> None:
    found = drawing(metrics(chart("cpu", missing="Prometheus does not answer in time."), chart("rows"))).charts
    assert [each.nothing for each in found] == ["Prometheus does not answer in time.", "No values in this range."]
    assert found[1].summary.endswith("no values.")


def test_a_chart_of_the_whole_cluster_says_so_beside_those_of_a_database() -> None:
    found = metrics(chart("cpu", "P"), chart("rows", "P", by_database=True), database="shop")
    assert [each.whole for each in drawing(found).charts] == [True, False]


def test_the_replica_has_one_colour_everywhere_and_limits_none() -> None:
    assert tones(chart("cpu", "P", "R", "pooler 1-1", "pooler 1-2", "limit")) == ["c1", "c2", "c3", "c4", "limit"]
    assert tones(chart("lag-bytes", "R")) == ["c2"]
    assert tones(chart("transactions", "P committed", "R committed", "P rolled back", "R rolled back")) == [
        "c1", "c2", "c3", "c4",
    ]  # fmt: skip
    databases = tones(chart("sizes", "R", *(f"d{number}" for number in range(9))))
    assert databases[:7] == ["c1", "c3", "c4", "c5", "c6", "c7", "c8"]
    assert len(databases) == 10


def test_the_script_is_given_values_and_marks_in_order_of_time() -> None:
    found = metrics(chart("cpu", "P"), chart("rows"))
    values = json.loads(drawing(found).values)
    assert values["times"] == list(found.times)
    assert values["charts"] == [
        {"id": "cpu", "unit": "percent", "series": [{"name": "P", "limit": False, "values": [10, None, 30, 20]}]}
    ]
    assert [(each["tone"], each["text"]) for each in values["marks"]] == [
        ("bad", "Failover, done, 02 Jan 00:00:00, 1.5 s"),
        ("idle", "Change plan, running, 02 Jan 00:00:00"),
    ]
    assert [(each.kind, each.took) for each in listed_marks(found)] == [("ChangePlan", ""), ("Failover", "1.5 s")]
