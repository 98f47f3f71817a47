"""Ports of loopback for the stacks that tests start."""

import contextlib
import itertools
import os
import socket

_FIRST, _BLOCKS, _EACH = 30000, 27, 100
"""Below 32768, from where on Linux takes ports for outgoing connections, which would come in between.

By process id, so that runs side by side do not take each other's.
"""
_candidates = itertools.cycle(range(_EACH))


def free_port() -> int:
    """Return a port that nobody listens on. Of the last hundred returned it is none."""
    first = _FIRST + os.getpid() % _BLOCKS * _EACH
    for candidate in itertools.islice(_candidates, _EACH):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", first + candidate))
            return first + candidate
    raise RuntimeError(f"No port of {first}-{first + _EACH - 1} is free.")
