"""Milliseconds spent in each named step of something that clients wait for."""

import time
from collections.abc import Generator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the time of named steps, on the monotonic clock."""

    def __init__(self) -> None:
        """Begin with no step."""
        self.steps_ms: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Generator[None, None, None]:
        """Time the block as the step called *name*."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.steps_ms[name] = round(self.steps_ms.get(name, 0.0) + (time.perf_counter() - begun) * 1000, 1)
