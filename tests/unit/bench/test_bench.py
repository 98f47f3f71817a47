"""The bench's arithmetic and its table; what it measures is not asserted anywhere."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from temporalio.client import WorkflowHistory

from bench.__main__ import SECTIONS, arguments
from bench.cluster_weight import cpu_group
from bench.create import by_step
from bench.failover import Lost
from bench.gaps import Gap, ended_ms, gaps, gaps_of_all, longest_ms
from bench.others import DOCUMENTED, Event
from bench.pgbench import longest_wait, parse_log
from bench.plot import bars, draw, duration, missing, position
from bench.publish import (
    HEADLINES,
    MEASURED,
    headlines,
    kept_lines,
    merged,
    saying_what_is_kept,
    sources_block,
    with_block,
)
from bench.report import Report, Row, Stat, at_most, number, percentile, table_lines
from bench.run import Size
from bench.spans import TEMPORAL, WORKFLOW, parts
from bench.stub_cluster import stub_state
from bench.stub_worker import REAL, answer
from bench.writers import Written
from model.cluster import ClusterPhase, NodeRole
from model.effects import EFFECTS, Nothing
from model.operations import Step

HISTORIES = Path(__file__).parents[2] / "histories"
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


# --- gaps -----------------------------------------------------------------------------------------------------------


def test_gaps_are_between_neighbours_and_over_20_ms() -> None:
    assert gaps([1.0, 1.01, 1.5, 1.515, 2.0]) == (Gap(began_s=1.01, ended_s=1.5), Gap(began_s=1.515, ended_s=2.0))
    assert gaps([1.0]) == gaps([]) == ()


def test_gap_of_all_is_where_nobody_had_a_row() -> None:
    clients = [[1.0, 3.0, 3.01], [1.01, 2.0, 3.02], []]
    assert gaps_of_all(clients) == (Gap(began_s=1.01, ended_s=2.0), Gap(began_s=2.0, ended_s=3.0))


def test_longest_gap_counts_one_that_began_before_the_loss_and_none_that_ended_before_it() -> None:
    found = (Gap(began_s=1, ended_s=5), Gap(began_s=5.9, ended_s=6.5), Gap(began_s=7, ended_s=7.1))
    assert longest_ms(found, since_s=6) == pytest.approx(600)
    assert ended_ms(found, since_s=6) == pytest.approx(500)
    assert longest_ms(found, since_s=8) == ended_ms(found, since_s=8) == 0


# --- weight ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memberships", "directory"),
    [
        ("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/docker/x\n", "/sys/fs/cgroup/cpuacct/docker/x"),
        ("0::/system.slice/docker-x.scope\n", "/sys/fs/cgroup/system.slice/docker-x.scope"),
    ],
)
def test_control_group_is_found_in_both_versions(memberships: str, directory: str) -> None:
    assert cpu_group(memberships) == Path(directory)


def test_process_in_no_group_is_said_to_be() -> None:
    with pytest.raises(LookupError):
        cpu_group("4:memory:/docker/x\n")


# --- publishing -----------------------------------------------------------------------------------------------------


def report(*rows: Row, machine: tuple[str, ...] = ("m",)) -> Report:
    return Report(machine=machine, rows=rows)


def named(section: str, name: str, *values: float, floor: tuple[float, ...] = ()) -> Row:
    return Row(section=section, name=name, unit="ms", values=values, floor=floor)


def test_report_is_read_as_it_was_written() -> None:
    written = report(row((1, 3), (1,), worst=2), row((5,), more=True))
    assert Report.read(written.as_json()) == written


def test_later_section_replaces_an_earlier_one_and_keeps_its_place() -> None:
    first = report(named("a", "x", 1), named("a", "gone", 1), named("b", "y", 1))
    second = report(named("a", "x", 2), named("c", "z", 3), machine=("m", "busy"))
    both = merged([first, second])
    assert [(each.section, each.name, each.values) for each in both.rows] == [
        ("a", "x", (2,)),
        ("b", "y", (1,)),
        ("c", "z", (3,)),
    ]
    assert both.machine == ("m", "busy")


def test_line_that_was_not_measured_again_stays_as_published_and_is_marked() -> None:
    published = report(
        named("a", "x (of 3)", 1, 2, floor=(1,)), named("b", "y (of 3)", 3), named("b", "z", 5)
    ).markdown()
    new = report(named("b", "y (of 9)", 4))
    for _ in range(2):
        kept = kept_lines(published, new)
        published = saying_what_is_kept(new, kept).markdown(kept)
        assert [cells[:2] for cells in table_lines(published)] == [("b", "y (of 9)"), ("b †", "z"), ("a †", "x (of 3)")]
        assert published.endswith("- † From an earlier run than the rest, maybe on another machine.\n")
    assert saying_what_is_kept(new, []) == new


def test_block_is_replaced_between_its_markers() -> None:
    text = "before\n<!-- t:begin -->\nold\n<!-- t:end -->\nafter\n"
    assert with_block(text, "t", "new\n") == "before\n<!-- t:begin -->\nnew\n<!-- t:end -->\nafter\n"


def test_block_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="'t'"):
        with_block("<!-- t:begin -->\nno end", "t", "new")


def test_readme_shows_chosen_lines_of_the_whole_table_and_says_which_are_older() -> None:
    section, name = HEADLINES[0]
    lines = [
        (f"{section} †", f"{name} (of 9)", "ms", "20", "1", "2", "3", "4", "5", "6", "✓ median ≤ 2"),
        ("switchover", "another", "ms", "20", "1", "2", "3", "4", "5", "6", ""),
    ]
    head, _, *shown = headlines(lines).splitlines()
    assert head == "| section | what | unit | n | median | worst | script | script's worst | target |"
    assert shown == [f"| {section} † | {name} (of 9) | ms | 20 | 1 | 3 | 4 | 5 | ✓ median ≤ 2 |"]


def test_headlines_are_few_and_each_is_published() -> None:
    published = {
        (cells[0].removesuffix(" †"), cells[1].partition(" (")[0]) for cells in table_lines(MEASURED.read_text())
    }
    assert set(HEADLINES) <= published
    assert len(HEADLINES) <= 12


def test_every_documented_figure_has_its_source() -> None:
    text = sources_block()
    assert all(each.source in text and each.says in text for each in DOCUMENTED)


# --- picture --------------------------------------------------------------------------------------------------------


def test_scale_is_logarithmic_and_clamped() -> None:
    assert position(10) == position(1) == 0
    assert position(200_000) == position(1e9) == 1
    assert position(1000) - position(100) == pytest.approx(position(100) - position(10))


@pytest.mark.parametrize(("ms", "text"), [(95.4, "95 ms"), (999, "999 ms"), (1234, "1.2 s")])
def test_durations_are_for_people(ms: float, text: str) -> None:
    assert duration(ms) == text


KILLED = "primary killed, 8 writers: longest wait"


def test_bars_are_of_what_was_measured_beside_its_floor_and_of_what_is_documented() -> None:
    shown = bars([named("failover", KILLED, 100, 200, 900, floor=(90, 110)), named("failover", "other", 5)])
    measured = [bar for bar in shown if bar.kind != "documented"]
    assert [(bar.kind, bar.event, bar.typical_ms, bar.worst_ms) for bar in measured] == [
        ("measured", Event.LOST, 200, 900),
        ("floor", Event.LOST, 100, 110),
    ]
    assert len(shown) - len(measured) == len(DOCUMENTED)


def test_stalls_that_nothing_measured_are_named() -> None:
    lacking = missing([named("failover", KILLED, 100)])
    assert not any(KILLED in name for name in lacking)
    assert any("Switchover" in name for name in lacking)


def test_picture_is_well_formed_and_has_a_label_for_each_bar() -> None:
    shown = bars([named("failover", KILLED, 100)])
    root = ElementTree.fromstring(draw(shown))
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {bar.label for bar in shown} <= texts
    assert {bar.text for bar in shown} <= texts


def test_loss_waits_for_the_slowest_writer_and_is_over_for_somebody_when_any_row_is_written() -> None:
    def gap(began: float, ended: float) -> Gap:
        return Gap(began_s=began, ended_s=ended)

    written = Written(
        acknowledged=9,
        errors=2,
        lost=0,
        unknown=0,
        gaps=((gap(1, 2), gap(9.9, 10.5)), (gap(9.8, 10.9),)),
        gaps_of_all=(gap(9.9, 10.5),),
    )
    lost = Lost(written, at_s=10, in_sync_s=12, steps_ms={})
    assert lost.wait_ms == pytest.approx(1100)
    assert lost.writable_ms == pytest.approx(500)


@pytest.mark.parametrize(
    ("name", "effects"),
    [
        ("create-user.done", {"take_turn", "create_user", "commit_facts"}),
        ("switchover.done", {"take_turn", "await_caught_up", "switch_primary", "ensure_node", "set_routes"}),
        ("change-plan.done", {"take_turn", "check_host", "ensure_node", "commit_facts"}),
    ],
)
def test_parts_of_an_operation_add_up_to_its_time(name: str, effects: set[str]) -> None:
    document = json.loads((HISTORIES / f"{name}.json").read_text())
    events = list(WorkflowHistory.from_json(document["workflow_id"], document["history"]).events)
    seen = parts(events)
    whole = (events[-1].event_time.ToNanoseconds() - events[0].event_time.ToNanoseconds()) / 1e9
    assert sum(seen.values()) == pytest.approx(whole, abs=1e-5)
    assert effects | {TEMPORAL, WORKFLOW} <= seen.keys()
    assert min(seen.values()) > 0
