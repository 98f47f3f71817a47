"""Effects on what a replica has on its volume: what it is worth, and the end of what a fresh copy took the place of."""

import asyncio
import time

import structlog
from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.nodes.files import COMPLETE_FILE, FORMER_DATA, REWIND_LOG, REWINDING_FILE
from model import effects, pg_control
from model.effects import DataVerdict, NodeRef, Nothing
from model.errors import NotYet
from model.evidence import DataSeen, why_useless
from model.names import PGDATA, node_container

log = structlog.get_logger()

LOG_LINES = 200
"""A standby that finds no WAL says so each 50 ms, in three lines."""
REMOVED_POLL_S = 0.2
REMOVAL_S = 3600.0
"""How long the removal of a data directory is waited for; it goes on all the same."""


class ReplicaDataActivities:
    """The effects ``examine_data`` and ``discard_former``."""

    def __init__(self, docker: DockerEngine) -> None:
        """Look through *docker*."""
        self._docker = docker

    @activity.defn(name=effects.EXAMINE_DATA.name)
    async def examine_data(self, arg: NodeRef) -> DataVerdict:
        """Return what shows that a node's data can be of no use. Changes nothing; no container is no evidence."""
        container = node_container(arg.cluster_id, arg.name)
        async with heartbeating():
            found = await self._docker.inspect(container)
            if found is None or found.started_at is None:
                return DataVerdict()
            finished, rewinding = [
                await self._docker.path_exists(container, path) for path in (COMPLETE_FILE, REWINDING_FILE)
            ]
            seen = DataSeen(
                finished=finished,
                rewinding=rewinding,
                control=await self._docker.get_file(container, f"{PGDATA}/{pg_control.PATH}"),
                rewind_log=_text(await self._docker.get_file(container, REWIND_LOG)),
                log=await self._docker.logs(container, LOG_LINES, since=found.started_at),
            )
        evidence = why_useless(seen)
        if evidence is None:
            log.info("looked at the data of a node: nothing shows that they cannot follow", node=container)
            return DataVerdict()
        log.info("looked at the data of a node", node=container, evidence=evidence.why, ahead=evidence.ahead)
        return DataVerdict(evidence=evidence.why, ahead=evidence.ahead)

    @activity.defn(name=effects.DISCARD_FORMER.name)
    async def discard_former(self, arg: NodeRef) -> Nothing:
        """Remove what a fresh copy on a node took the place of; nothing happens where there is no such thing.

        That the copy is in sync is the caller's to know. Raises :class:`NotYet` when the node does not run.
        """
        async with heartbeating():
            await discard_former(self._docker, node_container(arg.cluster_id, arg.name))
        return Nothing()


async def discard_former(docker: DockerEngine, container: str) -> None:
    """See :meth:`ReplicaDataActivities.discard_former`."""
    if not await docker.path_exists(container, FORMER_DATA):
        return
    await _require_running(docker, container)
    log.warning("removing what a copy that is in sync took the place of", node=container)
    await docker.start_exec(container, ("node", "discard-former"))
    deadline = time.monotonic() + REMOVAL_S
    while await docker.path_exists(container, FORMER_DATA):
        await _require_running(docker, container)
        if time.monotonic() > deadline:
            raise NotYet(f"The former data of node {container} are still there after {REMOVAL_S:g} s.")
        await asyncio.sleep(REMOVED_POLL_S)


async def _require_running(docker: DockerEngine, container: str) -> None:
    found = await docker.inspect(container)
    if found is None or not found.running:
        raise NotYet(f"Node {container} does not run, so that its former data cannot be removed.")


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")
