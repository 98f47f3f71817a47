"""Notes in Postgres of the storage that a cluster has: its containers' labels only tell what it was made with."""

from psycopg.sql import SQL, Identifier, Literal
from temporalio import activity

from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.effects import NoteStorageInput, Nothing
from model.storage import AutoGrow

STORAGE, GROWTH = "mpg.storage_gb", "mpg.auto_grow"
"""Settings of the database postgres, which users cannot enter. They are replicated like any row."""


class StorageNoteActivities:
    """The effect ``note_storage``."""

    def __init__(self, sql: SqlSessions) -> None:
        """Work through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.NOTE_STORAGE.name)
    async def note_storage(self, arg: NoteStorageInput) -> Nothing:
        """Note the storage that the cluster has from now on, for when its record is lost."""
        async with self._sql.use(arg.target) as connection:
            await put_notes(connection, arg.storage_gb, arg.auto_grow)
        return Nothing()


async def put_notes(connection: Connection, storage_gb: int, growth: AutoGrow | None) -> None:
    """Note the storage and its growth."""
    notes = {STORAGE: str(storage_gb), GROWTH: f"{growth.step_gb}/{growth.max_gb}" if growth else ""}
    for name, value in notes.items():
        note = SQL("ALTER DATABASE postgres SET {} = {}").format(Identifier(*name.split(".")), Literal(value))
        await connection.execute(note)


async def read_notes(connection: Connection) -> tuple[int | None, AutoGrow | None]:
    """Return what was noted of the storage and of its growth."""
    cursor = await connection.execute(
        "SELECT split_part(setting, '=', 1), split_part(setting, '=', 2)"
        " FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS setting"
        " WHERE d.datname = 'postgres' AND s.setrole = 0"
    )
    notes: dict[str, str] = dict(await cursor.fetchall())
    step, _, most = notes.get(GROWTH, "").partition("/")
    storage = notes.get(STORAGE)
    return int(storage) if storage else None, AutoGrow(step_gb=int(step), max_gb=int(most)) if most else None
