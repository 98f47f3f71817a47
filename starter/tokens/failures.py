"""A bound on refusals per address."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_REFUSALS = 100
WINDOW_S = 60.0
MOST_ADDRESSES = 10_000


class Failures:
    """Counts refused tokens by the address that sent them, in windows of a minute, in bounded memory.

    Who is over the bound is told to wait. Valid tokens are let in all the same: a signature of 256 bits is not
    guessed, and on loopback every program has the same address.
    """

    def __init__(self, *, most: int = MOST_REFUSALS, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow *most* refusals in a window; *clock* tells seconds."""
        self._most = most
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, address: str) -> int:
        """Count one refusal. Return 0 while *address* is within its bound, else the seconds it has to wait."""
        now = self._clock()
        begun, count = self._seen.pop(address, (now, 0))
        if now - begun >= WINDOW_S:
            begun, count = now, 0
        self._seen[address] = (begun, count + 1)
        if len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        return 0 if count < self._most else max(1, math.ceil(begun + WINDOW_S - now))
