"""What a test does to containers and volumes beside the product: small disks, and work that is held in the middle."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import docker
from rig import TEST_LABEL


def make_small_volume(name: str, labels: Mapping[str, str], size_mb: int) -> None:
    """Make a volume in memory, of a size that is kept to: what makes one of that name finds it there already."""
    client = docker.from_env()
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size_mb}m"}
    try:
        client.volumes.create(name, driver="local", driver_opts=options, labels={**TEST_LABEL, **labels})
    finally:
        client.close()


@contextmanager
def held(*containers: str) -> Generator[None]:
    """Have *containers* stand still for as long as the context lasts."""
    client = docker.from_env()
    found = [client.containers.get(name) for name in containers]
    for each in found:
        each.pause()
    try:
        yield
    finally:
        for each in found:
            each.unpause()
        client.close()
