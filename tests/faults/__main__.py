"""``python -m tests.faults``: the kill matrix, all of it or a seeded part, and its table."""

import argparse
import asyncio
import signal
import time
from pathlib import Path

from starter.leave import leave
from tests.faults.fault import Kind
from tests.faults.matrix import Journal, run_matrix, table
from tests.faults.scenarios import OPERATIONS


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cases", type=int, help="how many cases; all by default")
    parser.add_argument("--seed", type=int, default=1, help="chooses the order of cases and the moments inside steps")
    parser.add_argument("--lanes", type=int, default=1, help="stacks side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no case after this time")
    parser.add_argument("--operations", nargs="+", default=OPERATIONS, choices=OPERATIONS, metavar="OPERATION")
    kinds = [kind.name.lower() for kind in Kind]
    parser.add_argument("--faults", nargs="+", default=kinds, choices=kinds, metavar="FAULT", help=", ".join(kinds))
    parser.add_argument("--journal", type=Path, default=Path("fault-results.jsonl"), help="where results are kept")
    return parser.parse_args()


def main() -> int:
    """Return 0 when every case passed."""
    chosen = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stacks are stopped, as by Ctrl-C
    journal = Journal(chosen.journal)
    begun = time.monotonic()
    kinds = [Kind[name.upper()] for name in chosen.faults]
    try:
        asyncio.run(
            run_matrix(
                journal,
                count=chosen.cases,
                seed=chosen.seed,
                kinds=kinds,
                operations=chosen.operations,
                lanes=chosen.lanes,
                until=begun + chosen.minutes * 60,
            )
        )
    finally:
        if journal.results:
            print(table(journal.results))
            passed = sum(result.passed for result in journal.results)
            minutes = (time.monotonic() - begun) / 60
            print(f"\n{passed} of {len(journal.results)} passed; this run took {minutes:.0f} min, seed {chosen.seed}.")
    return 0 if all(result.passed for result in journal.results) else 1


if __name__ == "__main__":
    leave(main())
