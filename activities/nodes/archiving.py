"""What has a node archive its WAL: Postgres's settings, the files they need, and holding the archiver.

The archive is written by one pgBackRest process a segment, as a child of Postgres's archiver. Not by ``archive-async``:
that leaves a process of its own behind, whose parent becomes Postgres, because Postgres is PID 1 of its container. Up
to version 17 it takes a child that it does not know and that ends with an error for a crash of a server process, and
ends every session. Tried: a repository that could not be written restarted the whole server each two seconds.
"""

from typing import LiteralString

from activities.engine.docker_types import File
from activities.nodes.repository_conf import RepositoryKeys, repository_files
from activities.postgres.sql import Connection
from model.effects import NodeSpec
from model.names import VOLUME_PATH

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

_RELEASE: LiteralString = """
SELECT count(*) FROM pg_file_settings
WHERE name = 'archive_command' AND setting = '' AND sourcefile LIKE '%/postgresql.auto.conf'
"""


async def release_archiver(connection: Connection) -> bool:
    """Let the archiver of a primary go on that was held for a switchover; tell whether it was held."""
    row = await (await connection.execute(_RELEASE)).fetchone()
    if row is None or not row[0]:
        return False
    await connection.execute("ALTER SYSTEM RESET archive_command")
    await connection.execute("SELECT pg_reload_conf()")
    return True
