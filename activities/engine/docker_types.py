"""What goes into and comes out of the Docker engine, typed: nothing of docker-py crosses this line."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from model.base import Record
from model.errors import MpgError
from model.names import POSTGRES_ID, VOLUME_PATH


class EngineError(MpgError):
    """The engine refused a call for a reason of its own; ``explanation`` has its words."""

    retryable = True

    def __init__(self, message: str, *, explanation: str, status: int) -> None:
        """Hold the engine's *explanation* and HTTP *status* beside the sentence."""
        super().__init__(message, remedy="'docker logs', 'docker inspect' and dockerd's own log say more.")
        self.explanation = explanation
        self.status = status


class RestartPolicy(StrEnum):
    """Whether Docker starts a container again by itself. A Postgres node never is: it could be a second primary."""

    NO = "no"
    UNLESS_STOPPED = "unless-stopped"


BECOMES_ANOTHER = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
"""Capabilities of a container that begins as root and then becomes ``postgres``, which has none of them."""
MOST_PROCESSES = 1024
"""In one container: twice what a node's connections and workers are."""


CONFIG_DIR, POOLER_DIR = "/etc/mpg", "/etc/pgbouncer"
"""Where the worker puts files of a container other than a node's; see :attr:`ContainerSpec.own`."""
PUT_BELOW = (VOLUME_PATH, CONFIG_DIR, POOLER_DIR)
"""Where files are put. The engine takes none for a root filesystem that is read-only, but into a volume in it."""
SCRATCH = {"/tmp": "mode=1777,size=64m"}  # noqa: S108  of one container
"""What each container may write to, gone when it stops: path to mount options (tmpfs(5))."""
SOCKETS = {"/run/postgresql": f"uid={POSTGRES_ID},gid={POSTGRES_ID},mode=0755,size=1m"}


class Mount(Record):
    """A named volume and where a container sees it."""

    volume: str
    path: str
    read_only: bool = False


class PublishedPort(Record):
    """A container's TCP port and the host's address and port that lead to it."""

    container_port: int
    address: str
    port: int


class ContainerSpec(Record):
    """Everything a container is made from. Memory and shared memory in MB; None leaves a limit out."""

    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    environment: Mapping[str, str] = {}
    network: str | None = None
    """A network to join at ``address``; None together with ``join`` to have neither."""
    address: str | None = None
    """None: one that the engine chooses."""
    join: str | None = None
    """A container whose network namespace this one shares."""
    mounts: tuple[Mount, ...] = ()
    own: tuple[str, ...] = ()
    """Directories that files are put into: volumes without a name, which go with the container."""
    scratch: Mapping[str, str] = SCRATCH
    read_only: bool = True
    """Whether all else of its root filesystem is."""
    ports: tuple[PublishedPort, ...] = ()
    memory_mb: int | None = None
    cpus: int | None = None
    shm_mb: int | None = None
    cpu_shares: int | None = None
    """Its part of the processor where several want it; the engine's default is 1024."""
    io_weight: int | None = None
    """Its part of the disk where several want it, from 10 to 1000; the default is 500. Not every kernel has it."""
    user: str | None = None
    """As whom its command runs; None: root."""
    capabilities: tuple[str, ...] = BECOMES_ANOTHER
    """All others are dropped."""
    pids: int = MOST_PROCESSES
    sysctls: Mapping[str, str] = {}
    restart: RestartPolicy = RestartPolicy.NO
    stop_signal: str = "SIGTERM"


class ContainerInfo(Record):
    """A container as the engine describes it. ``started_at`` is None before its first start."""

    id: str
    name: str
    running: bool
    exit_code: int
    started_at: datetime | None
    labels: Mapping[str, str]
    image: str
    addresses: Mapping[str, str]
    """Network name to the container's address in it."""
    gateways: Mapping[str, str]
    """Network name to the gateway of it."""
    oom_killed: bool = False
    pid: int = 0
    """Process id of its first process on the engine's machine; 0 when it does not run."""
    ended_at: datetime | None = None
    """When it last ended; None before its first end."""
    cpus: float | None = None
    """The most processors that it gets; None: all."""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "ContainerInfo":
        """Return what the engine's inspect *answer* says."""
        state: Mapping[str, Any] = answer["State"]
        networks: Mapping[str, Mapping[str, str]] = answer["NetworkSettings"]["Networks"] or {}
        return cls(
            id=answer["Id"],
            name=answer["Name"].removeprefix("/"),
            running=state["Running"],
            exit_code=state["ExitCode"],
            started_at=_time(state["StartedAt"]),
            labels=answer["Config"]["Labels"] or {},
            image=answer["Config"]["Image"],
            addresses={name: network["IPAddress"] for name, network in networks.items()},
            gateways={name: network["Gateway"] for name, network in networks.items()},
            oom_killed=state["OOMKilled"],
            pid=state["Pid"],
            ended_at=_time(state["FinishedAt"]),
            cpus=(answer["HostConfig"].get("NanoCpus") or 0) / 10**9 or None,
        )


class ContainerUsage(Record):
    """What a running container uses of the machine: processor time since its start, in seconds, and memory.

    ``cpus`` and ``memory_limit_bytes`` are the most that it gets. ``memory_bytes`` is the working set: without the
    cache of files that nobody looked at lately.
    """

    cpu_seconds: float
    cpus: float
    memory_bytes: int
    memory_limit_bytes: int

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "ContainerUsage | None":
        """Return what the engine's stats *answer* says, without a limit on processors; None if it does not run."""
        memory, cpu = answer["memory_stats"], answer["cpu_stats"]
        if "usage" not in memory:
            return None
        kinds: Mapping[str, int] = memory.get("stats") or {}
        # As the engine's own client reckons, on cgroups of either version.
        idle = kinds.get("total_inactive_file", kinds.get("inactive_file", 0))
        return cls(
            cpu_seconds=cpu["cpu_usage"]["total_usage"] / 10**9,
            cpus=cpu.get("online_cpus") or 1,
            memory_bytes=max(memory["usage"] - idle, 0),
            memory_limit_bytes=memory["limit"],
        )


class ContainerSummary(Record):
    """A container as the engine lists it."""

    id: str
    name: str
    running: bool
    labels: Mapping[str, str]
    created_at: datetime


class NetworkInfo(Record):
    """A network of the engine. ``subnets`` are CIDR; ``gateway`` is the first subnet's, empty where it has none."""

    id: str
    name: str
    subnets: tuple[str, ...]
    gateway: str
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "NetworkInfo":
        """Return what the engine's *answer* says about one network."""
        ranges: list[Mapping[str, str]] = answer["IPAM"]["Config"] or []
        return cls(
            id=answer["Id"],
            name=answer["Name"],
            subnets=tuple(entry["Subnet"] for entry in ranges if "Subnet" in entry),
            gateway=ranges[0].get("Gateway", "") if ranges else "",
            labels=answer["Labels"] or {},
        )


class HostInfo(Record):
    """What the engine's machine has: CPUs, memory in MB, and where the engine keeps volumes."""

    cpus: int
    memory_mb: int
    root_dir: str


class File(Record):
    """A file to put into a container. ``mode`` as in chmod; the ids are numeric and need not exist on the host."""

    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @classmethod
    def private(cls, content: str | bytes) -> "File":
        """Return a file of the image's ``postgres``, which nobody else can read."""
        data = content.encode() if isinstance(content, str) else content
        return cls(content=data, mode=0o600, uid=POSTGRES_ID, gid=POSTGRES_ID)


def _time(text: str) -> datetime | None:
    # The engine writes nanoseconds, which Python does not read, and year 1 for "never".
    if text.startswith("0001-"):
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction or '0')[:6].ljust(6, '0')}+00:00")
