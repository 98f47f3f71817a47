"""How clients are told to connect. One place: the dashboard shows them."""

from model.base import Record
from model.cluster import PoolMode


class Snippet(Record):
    """A few lines for one client. ``note`` says what it has to mind in this mode, if anything."""

    client: str
    code: str
    note: str = ""


_TRANSACTION = "In transaction mode nothing of a session outlives its transaction: no SET, LISTEN or temporary tables."


def snippets(uri: str, *, pooled: bool, mode: PoolMode) -> tuple[Snippet, ...]:
    """Return lines for each client that connects with *uri*; *pooled* through poolers in *mode*."""
    transaction = pooled and mode is PoolMode.TRANSACTION
    note = _TRANSACTION if transaction else ""
    jdbc = f"jdbc:postgresql://{uri.rpartition('@')[2]}"
    user, _, password = uri.removeprefix("postgresql://").rpartition("@")[0].partition(":")
    server_side = ", prepare_threshold=None" if transaction else ""
    return (
        Snippet(client="psql", code=f"psql '{uri}'"),
        Snippet(
            client="psycopg",
            code=f'import psycopg\n\nwith psycopg.connect("{uri}"{server_side}) as connection:\n'
            '    connection.execute("SELECT 1")',
            note=note,
        ),
        Snippet(
            client="SQLAlchemy",
            code="from sqlalchemy import NullPool, create_engine\n\n"
            f'engine = create_engine("{uri.replace("postgresql://", "postgresql+psycopg://", 1)}", poolclass=NullPool)'
            if pooled
            else "from sqlalchemy import create_engine\n\n"
            f'engine = create_engine("{uri.replace("postgresql://", "postgresql+psycopg://", 1)}")',
            note="The cluster's poolers keep connections, so the engine need not." if pooled else "",
        ),
        Snippet(client="Django", code=_django(uri, transaction=transaction), note=note),
        Snippet(
            client="node-postgres",
            code=f'import pg from "pg"\n\nconst pool = new pg.Pool({{ connectionString: "{uri}" }})\n'
            'await pool.query("SELECT 1")',
        ),
        Snippet(
            client="pgx",
            code=f'config, _ := pgx.ParseConfig("{uri}")\n'
            + ("config.DefaultQueryExecMode = pgx.QueryExecModeExec\n" if transaction else "")
            + "connection, err := pgx.ConnectConfig(ctx, config)",
            note=note,
        ),
        Snippet(
            client="JDBC",
            code=f"{jdbc}{'?prepareThreshold=0' if transaction else ''}\nuser = {user}\npassword = {password}",
            note=note,
        ),
    )


def _django(uri: str, *, transaction: bool) -> str:
    login, _, rest = uri.removeprefix("postgresql://").rpartition("@")
    user, _, password = login.partition(":")
    at, _, database = rest.partition("/")
    host, _, port = at.rpartition(":")
    lines = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port}
    lines |= {"NAME": database, "USER": user, "PASSWORD": password}
    code = "".join(f'    "{name}": "{value}",\n' for name, value in lines.items())
    cursors = '    "DISABLE_SERVER_SIDE_CURSORS": True,\n' if transaction else ""
    return f'DATABASES = {{"default": {{\n{code}{cursors}}}}}'
