"""``python -m tests.fuzz URL TOKEN CLUSTER_ID [--count N] [--jobs N] [--seed N] [--seconds N] [--pid PID]``.

Sends random requests to a running API and says what was answered, how long the slowest took and, with the API's process
id, how its memory stood before and after. Exit code 1 when one was answered 500 or above, or not at all.
"""

import argparse
import math
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.run import Report, fuzz

WARM_SHARE = 20
"""A twentieth of the requests is sent before memory is looked at: what a process needs at all is not growth."""


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _part(job: tuple[str, str, dict[str, str], int, int, float]) -> Report:
    url, token, known, count, seed, seconds = job
    return fuzz(url, token, known, count=count, seed=seed, seconds=seconds)


def run(chosen: argparse.Namespace, count: int, first_seed: int) -> list[Report]:
    """Send *count* requests by as many processes as were chosen."""
    known = {"org": "personal", "cluster": chosen.cluster, "username": "fly-user", "database": "fly-db"}
    jobs = [
        (chosen.url, chosen.token, known, -(-count // chosen.jobs), first_seed + number, chosen.seconds)
        for number in range(chosen.jobs)
    ]
    with ProcessPoolExecutor(chosen.jobs) as pool:
        return list(pool.map(_part, jobs))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("cluster")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many, each time")
    parser.add_argument("--pid", type=int, help="of the API, to tell how its memory stands")
    chosen = parser.parse_args()
    begun = time.monotonic()
    reports = run(chosen, chosen.count // WARM_SHARE, chosen.seed)
    before = resident_mb(chosen.pid) if chosen.pid else 0.0
    reports += run(chosen, chosen.count, chosen.seed + chosen.jobs)
    statuses = sum((report.statuses for report in reports), Counter[int]())
    print(f"sent {sum(statuses.values())} in {time.monotonic() - begun:.0f} s; slowest answer", end=" ")
    print(f"{max(report.slowest_s for report in reports):.2f} s; by status {dict(sorted(statuses.items()))}")
    if chosen.pid:
        print(f"memory of the API: {before:.1f} MB after a twentieth, {resident_mb(chosen.pid):.1f} MB at the end")
    failures = [failure for report in reports for failure in report.failures]
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
