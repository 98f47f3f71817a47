"""What has a node archive its WAL: Postgres's settings, the files they need, and holding the archiver.

The archive is written by one pgBackRest process a segment, as a child of Postgres's archiver. Not by ``archive-async``:
that leaves a process of its own behind, whose parent becomes Postgres, because Postgres is PID 1 of its container. Up
to version 17 it takes a child that it does not know and that ends with an error for a crash of a server process, and
ends every session. Tried: with a repository that could not be written the whole server restarted within two seconds.
"""

import asyncio
import time
from typing import LiteralString

import structlog

from activities.engine.docker_types import File
from activities.nodes.repository_conf import RepositoryKeys, repository_files
from activities.postgres.sql import Connection
from model.effects import NodeSpec
from model.names import VOLUME_PATH

log = structlog.get_logger()

ARCHIVE_LOG = f"{VOLUME_PATH}/conf/archive.log"
"""What pgBackRest said of the segment that was tried last; empty when all was well."""
ARCHIVE_TIMEOUT_S = 60
"""How old WAL may be that is not archived, where there is any: what the loss of both nodes with their disks costs."""
ARCHIVE_SETTINGS = {
    "archive_mode": "on",
    # pgBackRest has its configuration and its stanza from the container's environment. Its words go to a file, which
    # SQL can read, and to the log.
    "archive_command": f"pgbackrest archive-push %p >{ARCHIVE_LOG} 2>&1 || {{ cat {ARCHIVE_LOG} >&2; exit 1; }}",
    "archive_timeout": f"{ARCHIVE_TIMEOUT_S}s",
}


def node_repository_files(spec: NodeSpec, keys: RepositoryKeys, directory: str) -> dict[str, File]:
    """Return the files by which a node archives; none where it does not."""
    if spec.repository is None:
        return {}
    files = repository_files(keys.current(spec.repository), spec.cluster_id, keys, directory)
    return files | {ARCHIVE_LOG: File.private("")}


# --- the archiver -----------------------------------------------------------------------------------------------------

_HELD: LiteralString = """
SELECT EXISTS (SELECT FROM pg_file_settings WHERE name = 'archive_command' AND setting = '')
"""
_IDLE: LiteralString = """
SELECT current_setting('archive_command') = '' AND NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE backend_type = 'archiver' AND wait_event IS DISTINCT FROM 'ArchiverMain'
)
"""
_END_PUSH: LiteralString = """
COPY (SELECT 1) TO PROGRAM
    'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" != pgbackrest ] || kill "${p#/proc/}"; done 2>/dev/null; true'
"""
PUSH_BOUND_S = 1.0
"""How long the segment that is being archived may take: usually 30 ms. A store that does not answer takes a minute."""
_POLL_S = 0.005
_LOOKS = 2
"""In a row: an archiver that was just woken may not have read its settings yet."""


async def hold_archiver(connection: Connection) -> None:
    """Have the archiver of a primary begin no segment any more, and return when it does nothing.

    A fast shutdown waits for the archiver to archive all there is: clients would wait for that, and for ever where the
    repository does not answer. What is not archived then is left to :func:`release_archiver` or to the new primary.
    """
    row = await (await connection.execute("SELECT current_setting('archive_mode') = 'on'")).fetchone()
    if row is None or not row[0]:
        return
    await connection.execute("ALTER SYSTEM SET archive_command = ''")
    await connection.execute("SELECT pg_reload_conf()")
    if not await _becomes_idle(connection):
        log.warning("the segment that is being archived is given up for the switchover", node=connection.info.host)
        await connection.execute(_END_PUSH)
        await _becomes_idle(connection)


async def release_archiver(connection: Connection) -> bool:
    """Let the archiver of a primary go on that was held for a switchover; tell whether it was held."""
    row = await (await connection.execute(_HELD)).fetchone()
    if row is None or not row[0]:
        return False
    await connection.execute("ALTER SYSTEM RESET archive_command")
    await connection.execute("SELECT pg_reload_conf()")
    return True


async def _becomes_idle(connection: Connection) -> bool:
    deadline, seen = time.monotonic() + PUSH_BOUND_S, 0
    while seen < _LOOKS and time.monotonic() < deadline:
        row = await (await connection.execute(_IDLE)).fetchone()
        seen = seen + 1 if row is not None and row[0] else 0
        await asyncio.sleep(_POLL_S)
    return seen >= _LOOKS
