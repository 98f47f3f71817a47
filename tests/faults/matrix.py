"""The kill matrix: every step of every operation, times every fault, times every moment; all of it or a seeded part."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.faults.fault import Kind, Moment, StepRef
from tests.faults.lane import Case, Lane, Result, open_lane
from tests.faults.scenarios import OPERATIONS

Steps = dict[str, list[StepRef]]


def all_cases(steps: Steps, kinds: Sequence[Kind], seed: int) -> list[Case]:
    """Return every case, in an order in which each part of the list has its share of operations and faults.

    The moment inside a step, and which container is meant where a step is about several, come from *seed*.
    """
    chance = random.Random(seed)
    grid = [
        (operation, step, kind, moment)
        for operation, its_steps in sorted(steps.items())
        for step in its_steps
        for kind in kinds
        for moment in Moment
    ]
    chance.shuffle(grid)
    cases = [
        Case(
            number=0,
            operation=operation,
            kind=kind,
            moment=moment,
            step=step,
            delay_s=round(step.seconds * chance.uniform(0.1, 0.9), 4),
            seed=chance.randrange(2**31),
        )
        for operation, step, kind, moment in grid
    ]
    first = _one_of_each_operation(cases, kinds)
    rest = _spread([case for case in cases if case not in first])
    return [case.model_copy(update={"number": number}) for number, case in enumerate([*first, *rest], start=1)]


def _one_of_each_operation(cases: list[Case], kinds: Sequence[Kind]) -> list[Case]:
    """Return a case of each operation, the faults in turn: also a short run has something of everything."""
    operations = sorted({case.operation for case in cases})
    wanted = [(operation, kinds[number % len(kinds)]) for number, operation in enumerate(operations)]
    return [next(case for case in cases if (case.operation, case.kind) == pair) for pair in wanted]


def _spread(cases: list[Case]) -> list[Case]:
    """Sort *cases* so that each operation's and each fault's are spread evenly from the beginning to the end."""
    by_pair: dict[tuple[str, Kind], list[Case]] = {}
    for case in cases:
        by_pair.setdefault((case.operation, case.kind), []).append(case)
    kinds = Counter(case.kind for case in cases)
    operations = Counter(case.operation for case in cases)
    places: list[tuple[float, Case]] = []
    for (operation, kind), group in by_pair.items():
        share = 0.5 * (len(group) / kinds[kind] + len(group) / operations[operation])
        for number, case in enumerate(group):
            # The first of every pair comes early, the more so the rarer the pair is.
            places.append(((number + (case.seed % 1000) / 1000) / len(group) + 0.05 * share, case))
    return [case for _, case in sorted(places, key=lambda place: place[0])]


async def run_cases(
    lane: Lane, cases: "asyncio.Queue[Case]", keep: Callable[[Result], None], until: float = float("inf")
) -> None:
    """Run cases on *lane* until there are none left, or the monotonic time *until*."""
    while time.monotonic() < until:
        try:
            case = cases.get_nowait()
        except asyncio.QueueEmpty:
            return
        keep(await lane.run(case))


async def read_steps(lane: Lane, operations: Iterable[str] = OPERATIONS) -> Steps:
    """Run each of *operations* once with nothing broken, and return their steps."""
    return {operation: await lane.steps(operation) for operation in operations}


def table(results: Sequence[Result]) -> str:
    """Return operation × fault: cases, how many passed, and the longest recovery in seconds."""
    kinds = [kind for kind in Kind if any(result.case.kind is kind for result in results)]
    lines = [
        "| operation | " + " | ".join(kinds) + " | all |",
        "| --- |" + " --- |" * (len(kinds) + 1),
    ]
    for operation in sorted({result.case.operation for result in results}):
        its = [result for result in results if result.case.operation == operation]
        lines.append(f"| {operation} | " + " | ".join(_cell(its, kind) for kind in kinds) + f" | {_cell(its)} |")
    lines.append("| **all** | " + " | ".join(_cell(results, kind) for kind in kinds) + f" | {_cell(results)} |")
    return "\n".join(lines)


def _cell(results: Sequence[Result], kind: Kind | None = None) -> str:
    chosen = [result for result in results if kind in (None, result.case.kind)]
    if not chosen:
        return "–"
    longest = max((result.recovery_s for result in chosen if result.recovery_s is not None), default=None)
    shown = "" if longest is None else f", {longest:.1f} s"
    return f"{sum(result.passed for result in chosen)}/{len(chosen)}{shown}"


class Journal:
    """Every result as a line of JSON, so that a run that is cut short can be gone on with."""

    def __init__(self, path: Path) -> None:
        """Keep results in *path*; those that are there already count."""
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.results = [Result.model_validate_json(line) for line in lines]

    def keep(self, result: Result) -> None:
        """Add *result*, and say it on stderr."""
        self.results.append(result)
        with self._path.open("a") as file:
            file.write(result.model_dump_json() + "\n")
        verdict = "ok" if result.passed else "; ".join(result.problems) or "the fault did not happen"
        recovery = "" if result.recovery_s is None else f", whole after {result.recovery_s:.1f} s"
        said = f"{time.strftime('%H:%M:%S')} {result.case} → {result.outcome}{recovery}: {verdict}"
        print(said, file=sys.stderr, flush=True)


async def run_matrix(
    journal: Journal,
    *,
    count: int | None,
    seed: int,
    kinds: Sequence[Kind],
    operations: Sequence[str] = OPERATIONS,
    lanes: int = 1,
    until: float = float("inf"),
) -> None:
    """Run *count* cases (None: all) on *lanes* stacks side by side; results go to *journal*.

    Those that end the engine, which all stacks share, come last, one after the other.
    """
    cases, alone = asyncio.Queue[Case](), asyncio.Queue[Case]()
    ready = asyncio.Event()

    async def one(number: int) -> None:
        async with open_lane(number) as lane:
            if number == 0:
                done = {result.case.number for result in journal.results}
                for case in all_cases(await read_steps(lane, operations), kinds, seed)[:count]:
                    if case.number not in done:
                        (alone if case.kind is Kind.ENGINE else cases).put_nowait(case)
                ready.set()
            await ready.wait()
            await run_cases(lane, cases, journal.keep, until)

    async with asyncio.TaskGroup() as group:
        for number in range(lanes):
            group.create_task(one(number))
    if not alone.empty():
        async with open_lane(0) as lane:
            await run_cases(lane, alone, journal.keep, until)
