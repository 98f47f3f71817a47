"""Waiting until clusters serve: after a reboot of the host their nodes come back only once the stack is up."""

import asyncio
import time
from collections.abc import Callable, Sequence

import psycopg

from model.allow_list import admits
from model.cluster import ClusterPhase, ClusterState, ClusterView
from model.errors import MpgError
from model.names import DEFAULT_ORG
from model.settings import LOOPBACK, Settings
from starter.client.connection import EndpointKind, connection_uri, read_master_key

SERVING_SECONDS = 60.0
"""How long a cluster is waited for. One whose containers were all lost at once is back in a few seconds."""
_TRY_SECONDS = 3
_PAUSE_SECONDS = 0.25
_AT_ONCE = 16
_SERVE = frozenset({ClusterPhase.READY, ClusterPhase.UPDATING})
"""Phases of clusters that should serve; one that needs an operator is not helped by waiting."""


async def await_serving(
    settings: Settings,
    views: Sequence[ClusterView],
    on_wait: Callable[[str], None],
    on_serve: Callable[[str, float], None],
    *,
    seconds: float = SERVING_SECONDS,
) -> list[str]:
    """Return once all clusters of *views* that should serve do so, or after *seconds*.

    A cluster serves when its own user gets an answer at the direct and at the pooled address. One whose password is not
    known here, or whose allow list lacks this host, cannot be asked, and is not waited for.

    Args:
        settings: where the master key is.
        views: the clusters, as last recorded.
        on_wait: called with the name of each cluster that does not serve at the first try.
        on_serve: called once such a cluster serves, with its name and the seconds since this was called.
        seconds: the bound.

    Returns:
        The names of those that do not serve then.
    """
    asked = {name: uris for name, uris in ((_name(view.state), _uris(settings, view)) for view in views) if uris}
    begun = time.monotonic()
    waiting = await _silent(asked)
    for name in waiting:
        on_wait(name)
    while waiting and time.monotonic() < begun + seconds:
        await asyncio.sleep(_PAUSE_SECONDS)
        silent = await _silent({name: asked[name] for name in waiting})
        for name in waiting:
            if name not in silent:
                on_serve(name, time.monotonic() - begun)
        waiting = silent
    return waiting


def _name(state: ClusterState) -> str:
    spec = state.spec
    return spec.name if spec.org == DEFAULT_ORG else f"{spec.org}/{spec.name}"


def _uris(settings: Settings, view: ClusterView) -> list[str]:
    """Return where to ask, nowhere if the cluster should not serve or cannot be asked."""
    if view.state.status.phase not in _SERVE or not admits(view.state.spec.allow_list, LOOPBACK):
        return []
    try:
        key = read_master_key(settings.master_key_file)
        kinds = (EndpointKind.DIRECT, EndpointKind.POOLED)
        return [connection_uri(view.state, master_key=key, kind=kind) for kind in kinds]
    except MpgError:
        return []


async def _silent(asked: dict[str, list[str]]) -> list[str]:
    """Return the names of those that do not answer now."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def answers(uris: list[str]) -> bool:
        async with gate:
            return all([await _answers(uri) for uri in uris])

    found = await asyncio.gather(*(answers(uris) for uris in asked.values()))
    return [name for name, answered in zip(asked, found, strict=True) if not answered]


async def _answers(uri: str) -> bool:
    try:
        # The poolers keep who comes waiting for a server.
        async with asyncio.timeout(_TRY_SECONDS):
            async with await psycopg.AsyncConnection.connect(uri, autocommit=True, prepare_threshold=None) as session:
                await session.execute("SELECT 1")
    except (psycopg.Error, TimeoutError):
        return False
    return True
