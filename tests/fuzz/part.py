"""What one process of a run does; in a module of its own, by whose name a process that was spawned finds it."""

from tests.fuzz.run import Report, fuzz
from tests.fuzz.target import Target


def part(job: tuple[Target, int, int]) -> Report:
    """Send the requests of *job*: to which target, how many, from which seed."""
    target, count, seed = job
    return fuzz(target.url, target.token, target.known, count=count, seed=seed)
