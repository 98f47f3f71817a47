"""From our descriptions of containers and networks to the arguments of the engine's API."""

from collections.abc import Mapping
from typing import Any

from activities.engine.docker_types import ContainerSpec

_MB = 1024**2


def create_arguments(spec: ContainerSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of ``POST /containers/create`` (Docker Engine API 1.41) for *spec*."""
    arguments: dict[str, Any] = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(labels),
        "StopSignal": spec.stop_signal,
        "ExposedPorts": {f"{port.container_port}/tcp": {} for port in spec.ports},
        "HostConfig": _host_config(spec),
    }
    if spec.network is not None:
        joined = {"IPAMConfig": {"IPv4Address": spec.address}} if spec.address else {}
        arguments["NetworkingConfig"] = {"EndpointsConfig": {spec.network: joined}}
        arguments["Hostname"] = spec.name
    if spec.user is not None:
        arguments["User"] = spec.user
    return arguments


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": f"container:{spec.join}" if spec.join else spec.network or "none",
        "RestartPolicy": {"Name": spec.restart.value},
        "Mounts": [
            *(
                {"Type": "volume", "Source": mount.volume, "Target": mount.path, "ReadOnly": mount.read_only}
                for mount in spec.mounts
            ),
            *({"Type": "volume", "Target": path} for path in spec.own),
        ],
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": dict(spec.scratch),
        "PortBindings": {
            f"{port.container_port}/tcp": [{"HostIp": port.address, "HostPort": str(port.port)}] for port in spec.ports
        },
        "CapDrop": ["ALL"],
        "CapAdd": list(spec.capabilities),
        "PidsLimit": spec.pids,
        "Sysctls": dict(spec.sysctls),
        "SecurityOpt": ["no-new-privileges"],
        # Bounded: a container that writes an error a millisecond must not fill the host's disk.
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
    }
    if spec.memory_mb is not None:
        # The same for memory and swap: a node that swaps is slower than one that is restarted.
        config |= {"Memory": spec.memory_mb * _MB, "MemorySwap": spec.memory_mb * _MB}
    if spec.cpus is not None:
        config["NanoCpus"] = spec.cpus * 10**9
    if spec.cpu_shares is not None:
        config["CpuShares"] = spec.cpu_shares
    if spec.io_weight is not None:
        config["BlkioWeight"] = spec.io_weight
    if spec.shm_mb is not None:
        config["ShmSize"] = spec.shm_mb * _MB
    return config


def network_arguments(name: str, subnet: str, gateway: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of docker-py's ``create_network`` for a bridge network."""
    return {
        "name": name,
        "driver": "bridge",
        "labels": dict(labels),
        "check_duplicate": True,
        "ipam": {"Driver": "default", "Config": [{"Subnet": subnet, "Gateway": gateway}]},
    }
