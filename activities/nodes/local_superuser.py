"""A superuser's session inside a node, for when the platform's password is not known.

A node takes SCRAM only. Here one line is put before its ``pg_hba.conf``, by which the operating system's ``postgres``
is let in over the unix socket, and taken away again. Who can write that file and run a command in the container as
that user has the engine, and so the data, anyway: no right comes from it that was not there.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from psycopg.sql import SQL, Composable, Literal

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import File
from activities.engine.exec_session import ExecSession
from activities.nodes.files import CONF_DIR
from model.errors import NotFound, NotYet, StackDown
from model.names import SUPERUSER

HBA_FILE = f"{CONF_DIR}/pg_hba.conf"
DOOR = f"local   all             {SUPERUSER:<16}                     peer\n".encode()
OPEN_S = 600.0
"""How long Postgres may take until it lets us in: it may be replaying WAL."""
ANSWER_S = 30.0
_POLL_S = 0.1
_PSQL = (
    *("setpriv", f"--reuid={SUPERUSER}", f"--regid={SUPERUSER}", "--init-groups", "--"),
    *("env", "PGOPTIONS=-c default_transaction_read_only=off"),
    *("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"),
    *("--host=/run/postgresql", f"--username={SUPERUSER}", "--dbname=postgres"),
)


class LocalSession:
    """An open ``psql`` in the node."""

    def __init__(self, session: ExecSession) -> None:
        """Take over *session*; callers use :func:`local_superuser`."""
        self._session = session

    async def run(self, *statements: Composable) -> list[str]:
        """Run *statements* one after the other and return the lines of their answers. Raises :class:`StackDown`."""
        end = f"DONE-{secrets.token_hex(8)}"
        script = SQL(";\n").join([*statements, SQL("SELECT {};\n").format(Literal(end))])
        said = await self._session.converse(script.as_string(None).encode(), f"{end}\n".encode(), ANSWER_S)
        return said.decode().splitlines()


@asynccontextmanager
async def local_superuser(docker: DockerEngine, container: str) -> AsyncGenerator[LocalSession]:
    """Lend a superuser's session in the node of *container*, which runs.

    Raises:
        NotFound: the node has no configuration.
        NotYet: Postgres did not let us in within ten minutes.
    """
    found = await docker.get_file(container, HBA_FILE)
    if found is None:
        raise NotFound(f"Container {container} has no {HBA_FILE}.", remedy="Look at its volume.")
    closed = found.replace(DOOR, b"")
    await _put(docker, container, DOOR + closed)
    try:
        session = await _enter(docker, container)
        try:
            yield LocalSession(session)
        finally:
            await session.close()
    finally:
        await _put(docker, container, closed)


async def _put(docker: DockerEngine, container: str, hba: bytes) -> None:
    await docker.put_files(container, {HBA_FILE: File.private(hba)})
    await docker.kill(container, "SIGHUP")


async def _enter(docker: DockerEngine, container: str) -> ExecSession:
    deadline = time.monotonic() + OPEN_S
    while True:
        session = await docker.open_exec(container, _PSQL)
        try:
            await LocalSession(session).run(SQL("SELECT 1"))
        except StackDown as error:
            await session.close()
            if time.monotonic() > deadline:
                raise NotYet(f"Postgres in {container} did not let its own superuser in: {error}") from None
            await asyncio.sleep(_POLL_S)
        else:
            return session
