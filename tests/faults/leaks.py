"""Looking for secrets where none may be: histories, logs, containers' environment and labels, the process list."""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import NotFound

from activities.routing.pooler_console import CONSOLE_USER
from model.cluster import ClusterState
from model.names import LABEL_CLUSTER, POOLER_USER, REPLICATOR, SUPERUSER, cluster_workflow_id
from model.secrets import derive_password, repository_key, scram_verifier
from starter.client.connection import read_master_key

if TYPE_CHECKING:
    from tests.faults.invariants import Eyes


async def leaks(eyes: "Eyes", state: ClusterState, operations: Iterable[str]) -> list[str]:
    """Return in words where a secret of the cluster *state* was found."""
    words = secrets_of(state, read_master_key(eyes.mpg.settings.master_key_file))
    found: list[str] = []
    for workflow in (cluster_workflow_id(state.spec.id), *operations):
        history = await eyes.temporal.get_workflow_handle(workflow).fetch_history()
        # The payloads are JSON, in the clear inside the serialized events.
        text = b"".join(event.SerializeToString() for event in history.events)
        found += [f"the history of {workflow} has {name}" for name in _in(text, words)]
    found += await asyncio.to_thread(_on_this_machine, eyes, state, words)
    return found


def secrets_of(state: ClusterState, key: bytes) -> dict[str, bytes]:
    """Return what must not be seen, by what it is."""
    words = {"the master key": key, "the master key in hexadecimal": key.hex().encode()}
    words["the key of the backups"] = repository_key(key, state.spec.id).encode()
    users = {user.name: user.password_version for user in state.spec.users}
    for user, version in {**users, SUPERUSER: 1, REPLICATOR: 1, POOLER_USER: 1, CONSOLE_USER: 1}.items():
        for each in range(1, version + 2):
            words[f"password {each} of {user}"] = derive_password(key, state.spec.id, user, each).encode()
            stored = scram_verifier(key, state.spec.id, user, each)
            words[f"verifier {each} of {user}"] = stored.rpartition("$")[2].encode()
    return words


def _on_this_machine(eyes: "Eyes", state: ClusterState, words: dict[str, bytes]) -> list[str]:
    found: list[str] = []
    for log in eyes.mpg.settings.logs_dir.iterdir():
        found += [f"{log.name} has {name}" for name in _in(log.read_bytes(), words)]
    labelled: dict[str, str | list[str] | bool] = {"label": f"{LABEL_CLUSTER}={state.spec.id}"}
    for container in eyes.engine.containers.list(all=True, filters=labelled, ignore_removed=True):
        # What `docker inspect` shows: environment, command and labels among it.
        found += [f"container {container.name} shows {name}" for name in _in(repr(container.attrs).encode(), words)]
        # One that is made for a backup may be gone again.
        with contextlib.suppress(NotFound):
            found += [f"the log of {container.name} has {name}" for name in _in(container.logs(tail=1000), words)]
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ"):
            try:
                text = (process / file).read_bytes()
            except OSError:  # it has ended
                continue
            found += [f"process {process.name} shows {name} in its {file}" for name in _in(text, words)]
    return found


def _in(text: bytes, words: dict[str, bytes]) -> list[str]:
    return [name for name, word in words.items() if word in text]
