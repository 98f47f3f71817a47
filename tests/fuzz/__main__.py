"""``python -m tests.fuzz [URL TOKEN CLUSTER_ID] [--count N] [--jobs N] [--seed N] [--pid PID]``, or ``make fuzz``.

Sends random requests to an API: by default to one process of a stack of its own, whose activities are stubs. Says how
it gets on, and in the end what was sent and answered, how long the slowest answer took, and how the API's memory stood
before and after. Exit code 1 when one was answered 500 or above, late, or not at all, and when memory grew.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

from tests.fuzz.part import part
from tests.fuzz.run import Report
from tests.fuzz.target import Target, own_stack

ROUNDS = 20
"""Between two of them it says how far it is. Memory is compared with that after the first :data:`WARM` ones."""
WARM = 2
LATE_S = 20.0
"""An answer that takes so long is a hang; the longest that the API waits for anything by itself is 15 s."""
GROWTH_MB = 32.0
"""More than this is growth. A process that keeps a kilobyte of each of 100,000 requests grows by 100."""


class Fuzzing:
    """One run against *target*, by *jobs* processes."""

    def __init__(self, target: Target, *, count: int, jobs: int, seed: int) -> None:
        """Send *count* requests, the same ones for the same *seed* and number of jobs."""
        self.report = Report()
        self.warm_mb: float | None = None
        self._target, self._count, self._jobs, self._seed = target, count, jobs, seed

    def run(self) -> None:
        """Send all of it, and print how it gets on."""
        begun, each = time.monotonic(), -(-self._count // (ROUNDS * self._jobs))
        with ProcessPoolExecutor(self._jobs, multiprocessing.get_context("spawn")) as pool:
            for number in range(ROUNDS):
                first = self._seed + number * self._jobs
                parts = [(self._target, each, first + job) for job in range(self._jobs)]
                for report in pool.map(part, parts):
                    self.report.add(report)
                if number + 1 == WARM:
                    self.warm_mb = self._target.resident_mb()
                self._say(f"{time.monotonic() - begun:.0f} s: {self.report.sent} of {self._count}")

    def faults(self) -> list[str]:
        """Return what is wrong, in words; shown with the summary."""
        found, after_mb = list(self.report.failures), self._target.resident_mb()
        self._say("the end")
        print("by kind:", *(f"{kind} {count}" for kind, count in sorted(self.report.kinds.items())))
        if self.warm_mb is not None and after_mb is not None:
            print(f"memory of the API: {self.warm_mb:.1f} MB after a tenth, {after_mb:.1f} MB at the end")
            if after_mb - self.warm_mb > GROWTH_MB:
                found.append(f"its memory grew by {after_mb - self.warm_mb:.1f} MB")
        if self.report.slowest_s > LATE_S:
            found.append(f"an answer took {self.report.slowest_s:.1f} s")
        if self.report.sent < self._count and not found:
            found.append(f"only {self.report.sent} were sent")
        return found

    def _say(self, where: str) -> None:
        memory = self._target.resident_mb()
        resident = "" if memory is None else f", API {memory:.1f} MB"
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(self.report.statuses.items()))
        print(f"{where}; slowest {self.report.slowest_s:.2f} s{resident}; {statuses}", flush=True)


@asynccontextmanager
async def _running(chosen: argparse.Namespace) -> AsyncGenerator[Target]:
    yield Target(chosen.url, chosen.token, chosen.cluster, chosen.pid)


async def run(chosen: argparse.Namespace) -> list[str]:
    """Fuzz what was chosen, and return what is wrong."""
    async with _running(chosen) if chosen.url else own_stack() as target:
        fuzzing = Fuzzing(target, count=chosen.count, jobs=chosen.jobs, seed=chosen.seed)
        await asyncio.to_thread(fuzzing.run)
        return fuzzing.faults()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Send random requests to an API.")
    for name in ("url", "token", "cluster"):
        parser.add_argument(name, nargs="?", help="of a stack that runs; by default one is made")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--pid", type=int, help="of the API that runs, to tell how its memory stands")
    chosen = parser.parse_args()
    if chosen.url and not chosen.cluster:
        parser.error("a URL needs a token and a cluster's id")
    faults = asyncio.run(run(chosen))
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
