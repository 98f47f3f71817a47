"""What one cluster needs of the machine: its containers, and the engine's processes that exist because of it."""

import contextlib
import time
from pathlib import Path
from typing import Any

from bench.memory import pss_mb
from model.base import Record
from model.cluster import ClusterState

_CGROUPS = Path("/sys/fs/cgroup")


class Weight(Record):
    """Memory now in MB (PSS: shared pages are divided among who has them), and CPU time so far, at a moment."""

    containers_mb: float
    engine_mb: float
    cpu_s: float
    at_s: float


def weigh(docker: Any, state: ClusterState) -> Weight:
    """Weigh the nodes, endpoint and poolers of a cluster.

    The engine has one process for each container (the shim) and one for each published port (the proxy).
    """
    status = state.status
    assert status.endpoint is not None
    containers = (*status.nodes, status.endpoint, *status.poolers)
    first = [int(docker.inspect_container(each.container)["State"]["Pid"]) for each in containers]
    groups = [cpu_group(Path(f"/proc/{pid}/cgroup").read_text()) for pid in first]
    pids = [int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()]
    return Weight(
        containers_mb=pss_mb(pids),
        engine_mb=pss_mb([_parent(pid) for pid in first] + _proxies(status.endpoint.address)),
        cpu_s=sum(_used_s(group) for group in groups),
        at_s=time.monotonic(),
    )


def cpu_group(memberships: str) -> Path:
    """Return the directory of the control group that counts a process's CPU time, from its ``/proc/…/cgroup``.

    Raises:
        LookupError: the process is in none.
    """
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):  # version 1: one hierarchy for each controller
            return _CGROUPS / "cpuacct" / path.lstrip("/")
    for line in memberships.splitlines():
        if line.startswith("0::"):
            return _CGROUPS / line.removeprefix("0::").lstrip("/")
    raise LookupError("This process is in no control group that counts CPU time.")


def _used_s(group: Path) -> float:
    """CPU time of a control group, which counts processes that have ended as well."""
    version_1 = group / "cpuacct.usage"
    if version_1.exists():
        return int(version_1.read_text()) / 1e9
    return int((group / "cpu.stat").read_text().split()[1]) / 1e6  # its first line is usage_usec


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _proxies(address: str) -> list[int]:
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_text().split("\0")
            if words[0].endswith("docker-proxy") and address in words:
                found.append(int(file.parent.name))
    return found
