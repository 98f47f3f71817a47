"""Effect that samples rows once a backup is made, for the drill that restores it: see model/row_samples.py for why so.

Each table is locked for the moment in which it is read, in a subtransaction of its own, and hardly waited for: who
wants to alter it does not wait for this, nor those who wait behind.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import structlog
from psycopg.sql import SQL, Literal
from temporalio import activity

from activities.backups.archive_now import FlushActivities
from activities.backups.comparing import SAME_TEXT, read_rows
from activities.backups.pgbackrest import PgBackRest
from activities.heartbeat import heartbeating
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.effects import ArchiveNowInput, Nothing, SampleRowsInput, Target
from model.row_samples import ANNOTATION, MOST_TABLES, Sample, TableSample

log = structlog.get_logger()

MOST_DATABASES = 16
"""Each is a connection while the rows are read."""
BLOCKS, ROWS_OF_BLOCK = 3, 8
ARCHIVED_WITHIN_S = 60.0
BLOCK_BYTES = 8192

_DATABASES = SQL(
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY random() LIMIT {most}"
)
_SNAPSHOT = SQL(
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '2s'"
)
_POSITION = SQL("SELECT pg_current_wal_insert_lsn()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)")
# Not tables with values whose text is the name of something: that can be renamed meanwhile.
_TABLES = SQL(
    "SELECT c.oid::bigint, c.relfilenode::bigint, n.nspname::text, c.relname::text, c.reltuples::bigint, "
    "(SELECT md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attisdropped), ',' ORDER BY attnum)) "
    "FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated AND c.relfilenode <> 0 "
    "AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND {only} "
    "AND NOT EXISTS (SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid "
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND t.typname ~ '^_?reg') "
    "ORDER BY random() LIMIT {most}"
)
_LABELS = SQL("SELECT md5(string_agg(concat_ws(' ', oid, enumlabel), ',' ORDER BY oid)) FROM pg_enum")

Row = tuple[Any, ...]


class SamplingActivities:
    """The effect ``sample_rows``."""

    def __init__(self, pgbackrest: PgBackRest, sql: SqlSessions) -> None:
        """Ask primaries through *sql*; keep what was found through *pgbackrest*."""
        self._pgbackrest = pgbackrest
        self._sql = sql
        self._flush = FlushActivities(sql)

    @activity.defn(name=effects.SAMPLE_ROWS.name)
    async def sample_rows(self, arg: SampleRowsInput) -> Nothing:
        """Read some rows of the primary's tables, and annotate the backup with their places and a digest of each table.

        The WAL until then is archived when it is kept: a restore gets there for certain. Raises :class:`Refused` or
        :class:`NotYet` where that does not come about in time, and ``psycopg.Error``.
        """
        async with heartbeating():
            sample = await self._read(Target.of(arg.cluster_id, arg.primary))
            await self._flush.archive_now(
                ArchiveNowInput(cluster_id=arg.cluster_id, primary=arg.primary, timeout_s=ARCHIVED_WITHIN_S)
            )
            annotate = ("annotate", f"--set={arg.backup_id}", f"--annotation={ANNOTATION}={sample.encode()}")
            await self._pgbackrest.alone(arg, "note sampled rows", annotate)
        log.info("rows sampled", cluster=arg.cluster_id, backup=arg.backup_id, tables=len(sample.tables))
        return Nothing()

    async def _read(self, target: Target) -> Sample:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(_open(self._sql, target, "postgres"))
            names = [name for (name,) in await _all(first, _DATABASES.format(most=Literal(MOST_DATABASES)))]
            opened = {name: await stack.enter_async_context(_open(self._sql, target, name)) for name in names}
            most = max(1, MOST_TABLES // max(1, len(opened)))
            readers = [await _Reader.begin(name, connection, most) for name, connection in opened.items()]
            # Every snapshot is older than this position, and every row is read after it.
            ((lsn, timeline),) = await _all(first, _POSITION)
            tables = [table for reader in readers for table in await reader.read()]
        return Sample(lsn=lsn, timeline=int(timeline, 16), tables=tuple(tables))


class _Reader:
    """Reads rows of one database in one snapshot."""

    def __init__(self, database: str, connection: Connection, tables: Sequence[Row], labels: object) -> None:
        self._database, self._connection, self._tables, self._labels = database, connection, tables, labels

    @classmethod
    async def begin(cls, database: str, connection: Connection, most: int) -> "_Reader":
        await connection.execute(SAME_TEXT)
        await connection.execute(_SNAPSHOT)
        tables = await _all(connection, _TABLES.format(only=SQL("true"), most=Literal(most)))
        return cls(database, connection, tables, await _all(connection, _LABELS))

    async def read(self) -> list[TableSample]:
        """Return the samples of the tables that nobody altered or wrote anew meanwhile."""
        found = {row[0]: sample for row in self._tables if (sample := await self._sample(row)) is not None}
        await self._connection.execute("ROLLBACK")
        if await _all(self._connection, _LABELS) != self._labels:
            return []
        only = SQL("c.oid = ANY ({oids})").format(oids=Literal(list(found)))
        now = await _all(self._connection, _TABLES.format(only=only, most=Literal(len(found))))
        same = set(map(_identity, now)) & set(map(_identity, self._tables))
        return [found[row[0]] for row in same if row[0] in found]

    async def _sample(self, row: Row) -> TableSample | None:
        oid, filenode, schema_name, name, rows, _ = row
        await self._connection.execute("SAVEPOINT one")
        try:
            ((size,),) = await _all(self._connection, SQL("SELECT pg_relation_size({oid})").format(oid=Literal(oid)))
            query = read_rows(schema_name, name, _places((size or 0) // BLOCK_BYTES), untouched=True)
            ((places, digest),) = await _all(self._connection, query)
        except psycopg.Error as error:
            # It is locked, gone, or slow to read: another one does.
            log.debug("a table is not sampled", database=self._database, table=name, why=str(error))
            return None
        finally:
            await self._connection.execute("ROLLBACK TO one; RELEASE one")
        if not places:
            return None
        return TableSample(
            database=self._database,
            oid=oid,
            filenode=filenode,
            schema_name=schema_name,
            name=name,
            rows=rows,
            places=tuple(places),
            digest=digest,
        )


def _identity(row: Row) -> Row:
    """Return what of a table's description stays as long as nobody alters it: not the estimate of its rows."""
    return (*row[:4], row[5])


def _places(blocks: int) -> list[str]:
    """Return places of a table of so many blocks to look for rows at."""
    chosen = sorted(random.sample(range(blocks), min(blocks, BLOCKS)))
    return [f"({block},{offset})" for block in chosen for offset in range(1, ROWS_OF_BLOCK + 1)]


@asynccontextmanager
async def _open(sql: SqlSessions, target: Target, name: str) -> AsyncGenerator[Connection]:
    async with sql.use(target, name, fresh=True) as connection:
        yield connection


async def _all(connection: Connection, query: Any) -> list[Row]:
    return await (await connection.execute(query)).fetchall()
