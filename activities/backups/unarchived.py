"""Segments that were not archived, where they are: in the primary's queue, or kept on a former primary's volume."""

import re
import secrets
from collections.abc import Sequence

from activities.engine.docker_engine import DockerEngine
from activities.nodes.files import RECYCLING_CONF, UNARCHIVED_WAL
from model.names import PGDATA, SUPERUSER

HAND_OVER_S = 60.0
AS_POSTGRES = ("setpriv", f"--reuid={SUPERUSER}", f"--regid={SUPERUSER}", "--init-groups", "--", "sh")
GONE = "GONE "
_WAL_NAME = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_HAND_OVER = """cd {wal} && for name in {names}; do
    mark=archive_status/$name
    [ -e $mark.ready ] || mv $mark.done $mark.ready 2>/dev/null || : > $mark.ready
    [ -e $name ] || {{ rm -f $mark.ready; echo "GONE $name"; }}
done
"""
_LIST = "ls {kept}\n"
_DISCARD = """cd {kept} && rm -f {names} && cd .. && rmdir --ignore-fail-on-non-empty {kept}
if [ ! -e {kept} ]; then
    rm -f {recycling}
    [ "$(cat /proc/1/comm)" != postgres ] || kill -HUP 1
fi
"""
"""What is not Postgres yet, but the entrypoint, sees to it itself; a hangup would end that."""


async def hand_over(docker: DockerEngine, container: str, names: Sequence[str]) -> tuple[str, ...]:
    """Put finished segments and history files into the queue of a node's archiver; return what is not there any more.

    A segment is marked in one step, so that Postgres never sees one that is in no state; looked for afterwards, because
    until then it may have been removed as done.
    """
    said = await _run(docker, container, _HAND_OVER.format(names=_listed(names), wal=f"{PGDATA}/pg_wal"))
    return tuple(line.removeprefix(GONE) for line in said.splitlines() if line.startswith(GONE))


async def kept_segments(docker: DockerEngine, container: str) -> tuple[str, ...]:
    """Return what a node that runs keeps of its time as a primary; nothing of one that does not run."""
    found = await docker.inspect(container)
    if found is None or not found.running or not await docker.path_exists(container, UNARCHIVED_WAL):
        return ()
    said = await _run(docker, container, _LIST.format(kept=UNARCHIVED_WAL))
    return tuple(line for line in said.splitlines() if _WAL_NAME.fullmatch(line))


async def discard_kept(docker: DockerEngine, container: str, names: Sequence[str]) -> None:
    """Remove *names*, which nobody needs any more, from what a node keeps; what was added since stays.

    Once nothing is kept the node recycles its WAL again.
    """
    discard = _DISCARD.format(kept=UNARCHIVED_WAL, names=_listed(names), recycling=RECYCLING_CONF)
    await _run(docker, container, discard)


def _listed(names: Sequence[str]) -> str:
    assert all(_WAL_NAME.fullmatch(name) for name in names), "names go into a script"
    return " ".join(names)


async def _run(docker: DockerEngine, container: str, script: str) -> str:
    end = f"END-{secrets.token_hex(8)}"
    session = await docker.open_exec(container, AS_POSTGRES)
    try:
        return (await session.converse(f"{script}echo {end}\n".encode(), f"{end}\n".encode(), HAND_OVER_S)).decode()
    finally:
        await session.close()
