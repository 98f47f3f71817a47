"""The bench's arithmetic and its table; what it measures is not asserted anywhere."""

import json

import pytest

from bench.__main__ import SECTIONS, arguments
from bench.create import by_step
from bench.pgbench import longest_wait, parse_log
from bench.report import Report, Row, Stat, at_most, number, percentile
from bench.run import Size
from bench.stub_cluster import stub_state
from bench.stub_worker import REAL, answer
from model.cluster import ClusterPhase, NodeRole
from model.effects import EFFECTS, Nothing
from model.operations import Step

LOG = """\
0 1 1500 0 1700000000 500000
1 1 90000 0 1700000001 250000
0 2 failed 0 1700000001 300000
1 2 2500 0 1700000002 0
"""


def row(values: tuple[float, ...], floor: tuple[float, ...] = (), *, more: bool = False, **limits: float) -> Row:
    return Row(
        section="s",
        name="n",
        unit="ms",
        values=values,
        floor=floor,
        targets=at_most(**limits),
        more_is_better=more,
    )


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [((3.0,), 0.95, 3.0), (tuple(map(float, range(1, 101))), 0.95, 95.0), ((1.0, 2.0), 0.5, 1.0), ((2.0, 1.0), 0, 1.0)],
)
def test_percentile_is_the_nearest_rank(values: tuple[float, ...], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_ratio_is_of_medians() -> None:
    assert row((1, 2, 9), (1, 1, 100)).stat(Stat.RATIO) == 2
    assert row((1,)).stat(Stat.RATIO) is None


def test_worst_of_what_should_be_high_is_the_lowest() -> None:
    assert row((10, 30, 20), more=True).stat(Stat.WORST) == 10
    assert row((10, 30, 20)).stat(Stat.WORST) == 30


def test_targets_that_are_missed_are_named() -> None:
    measured = row((100, 300), (100,), median=200, worst=250, ratio=1.5)
    assert [target.text for target in measured.missed] == ["worst ≤ 250", "ratio ≤ 1.5 × floor"]


def test_target_of_a_figure_that_could_not_be_taken_is_missed() -> None:
    assert row((), median=1).missed
    assert row((1,), ratio=1.5).missed


def test_table_has_a_line_for_each_row_and_all_lines_are_as_wide() -> None:
    report = Report(machine=("m",), rows=(row((1,), (2,), ratio=1.5), row((1000,))), remarks=("left out",))
    text = report.markdown()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "✓ ratio ≤ 1.5 × floor" in lines[2]
    assert text.endswith("- left out\n")


def test_json_has_every_value_and_the_figures() -> None:
    document = json.loads(Report(machine=(), rows=(row((1, 3), (1,), worst=2),)).as_json())
    assert document["rows"][0]["values"] == [1, 3]
    assert document["rows"][0]["median"] == 2
    assert document["rows"][0]["met"] is False


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.0123, "0.0123"), (1.234, "1.23"), (45.67, "45.7"), (123.4, "123"), (14640, "14,640")],
)
def test_numbers_show_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_log_of_pgbench_without_transactions_that_failed() -> None:
    finished = parse_log(LOG.splitlines())
    assert [(each.client, each.took_ms) for each in finished] == [(0, 1.5), (1, 90.0), (1, 2.5)]
    assert finished[0].ended_s == pytest.approx(1700000000.5)


def test_longest_wait_counts_from_the_operation_on() -> None:
    finished = parse_log(LOG.splitlines())
    assert longest_wait(finished, 0) == 90.0
    assert longest_wait(finished, 1700000001.5) == 2.5
    assert longest_wait([], 0) == 0


def test_steps_of_several_runs_are_gathered_by_name() -> None:
    runs = [(Step(name="a", seconds=1), Step(name="b")), (Step(name="a", seconds=2),)]
    assert by_step(runs) == {"a": (1, 2), "b": ()}


def test_arguments_choose_sections_and_size() -> None:
    assert arguments(["users", "idle", "--quick"]).sections == ["users", "idle"]
    assert arguments(["--quick"]).size is Size.QUICK
    assert arguments([]).size is Size.NORMAL


def test_unknown_section_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        arguments(["nonsense"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in SECTIONS)


def test_stub_cluster_is_one_that_operations_accept() -> None:
    status = stub_state("a" * 16).status
    assert status.phase is ClusterPhase.READY
    assert [node.role for node in status.nodes] == [NodeRole.PRIMARY, NodeRole.REPLICA]
    assert len(status.current_poolers) == 2


def test_stub_answers_every_effect_without_a_result() -> None:
    silent = [effect for effect in EFFECTS if effect.output is Nothing and effect.name not in REAL]
    assert silent
    assert all(answer(effect, None) == Nothing() for effect in silent)
