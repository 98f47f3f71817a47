"""What processes weigh and use, from /proc."""

import contextlib
import os
from pathlib import Path
from typing import Any

_KB_PER_MB = 1024


def pss_mb(pids: list[int]) -> float:
    """Return the proportional set size of *pids* together, in MB: shared pages are divided among who has them."""
    return sum(_field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) / _KB_PER_MB


def rss_mb(pids: list[int]) -> float:
    """Return the resident memory of *pids* together, in MB."""
    return sum(_field(Path(f"/proc/{pid}/status"), "VmRSS:") for pid in pids) / _KB_PER_MB


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that *pids* have used so far, in seconds."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def container_pids(docker: Any, container: str) -> list[int]:
    """Return the processes of a container, as the engine's machine numbers them."""
    top = docker.top(container)
    column = top["Titles"].index("PID")
    return [int(process[column]) for process in top["Processes"]]


def _field(file: Path, name: str) -> int:
    with contextlib.suppress(OSError):  # it may have ended meanwhile
        for line in file.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
