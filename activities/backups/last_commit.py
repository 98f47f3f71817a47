"""When the last commit before a hole in the archive was: read from the segments that are there."""

from collections.abc import Sequence
from datetime import UTC, datetime

from activities.backups.pgbackrest import PgBackRest
from model.cluster import Node
from model.effects import RepositoryRef

_FIND = """
for name in {names}; do
    pgbackrest archive-get $name /tmp/$name >&2 || continue
    found=$(pg_waldump --rmgr=Transaction /tmp/$name 2>/dev/null |
        grep -oE 'COMMIT [0-9]{{4}}-[0-9-]+ [0-9:.]+ UTC' | tail -n 1)
    rm /tmp/$name
    [ -z "$found" ] || {{ echo "$found"; exit 0; }}
done
"""


async def last_commit(
    pgbackrest: PgBackRest, ref: RepositoryRef, node: Node, segments: Sequence[str]
) -> datetime | None:
    """Return when the last commit in *segments* was, the latest of which is the first; None where they have none.

    pgBackRest wants to see data of the same cluster, *node*'s. Raises :class:`NotYet` with its sentence.
    """
    if not segments:
        return None
    said = (await pgbackrest.ask_script(ref, "read the archive", _FIND.format(names=" ".join(segments)), node)).strip()
    if not said:
        return None
    return datetime.fromisoformat(said.removeprefix("COMMIT ").removesuffix(" UTC")).replace(tzinfo=UTC)
