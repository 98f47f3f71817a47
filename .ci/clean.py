"""Remove what a killed test run left: its stacks, and Docker objects that carry both of our labels. Nothing else."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from docker.errors import APIError, DockerException

from model.settings import load_settings
from starter.prerequisites.engine import connect, engine_version
from starter.stack import embedded as stack

LABELS = {"label": ["mpg.managed=true", "mpg.test=true"]}


def remove_containers_networks_volumes() -> None:
    """Remove test containers first: networks and volumes are in use until then."""
    settings = load_settings()
    if engine_version(settings) is None:
        return  # where no engine answers, `make test` starts one; what it then brings back carries no restart policy
    with contextlib.closing(connect(settings)) as client, contextlib.suppress(DockerException):
        containers = client.containers.list(all=True, filters=LABELS)
        _remove("containers", [partial(each.remove, force=True, v=True) for each in containers])
        _remove("networks", [each.remove for each in client.networks.list(filters=LABELS)])
        _remove("volumes", [partial(each.remove, force=True) for each in client.volumes.list(filters=LABELS)])


def _remove(kind: str, removals: Sequence[Callable[[], None]]) -> None:
    if removals:
        print(f"removing {len(removals)} {kind} of an earlier run", file=sys.stderr)
    for remove in removals:
        with contextlib.suppress(APIError):
            remove()


def stop_stacks(state: Path) -> None:
    """Stop every stack whose state directory is below *state*."""
    for record in state.glob("**/run/stack.json"):
        home = record.parent.parent
        if asyncio.run(stack.stop(load_settings(home=home))):
            print(f"stopped the stack of {home}", file=sys.stderr)


def main() -> None:
    """Clean up after the run whose state is in the first argument; with --keep-logs its files stay."""
    state = Path(sys.argv[1])
    stop_stacks(state)
    remove_containers_networks_volumes()
    if "--keep-logs" not in sys.argv:
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    main()
