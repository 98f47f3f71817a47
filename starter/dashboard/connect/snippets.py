"""How clients are told to connect. One place: the dashboard shows them, and docs/clients.md is made of them."""

import json
from urllib.parse import parse_qsl

from model.base import Record
from model.cluster import PoolMode


class Snippet(Record):
    """A few lines for one client. ``note`` says what it has to mind in this mode, if anything.

    ``language`` is what Markdown calls the language of ``code``.
    """

    client: str
    language: str
    code: str
    note: str = ""


_TRANSACTION = "In transaction mode nothing of a session outlives its transaction: no SET, LISTEN or temporary tables."


def snippets(uri: str, *, pooled: bool, mode: PoolMode) -> tuple[Snippet, ...]:
    """Return lines for each client that connects with *uri*; *pooled* through poolers in *mode*.

    What *uri* says of TLS goes where each client looks for it.
    """
    transaction = pooled and mode is PoolMode.TRANSACTION
    note = _TRANSACTION if transaction else ""
    plain, _, query = uri.partition("?")
    user, _, password = plain.removeprefix("postgresql://").rpartition("@")[0].partition(":")
    jdbc = "&".join(part for part in ("prepareThreshold=0" if transaction else "", query) if part)
    server_side = ", prepare_threshold=None" if transaction else ""
    return (
        Snippet(client="psql", language="sh", code=f"psql '{uri}'"),
        Snippet(
            client="psycopg",
            language="python",
            code=f'import psycopg\n\nwith psycopg.connect("{uri}"{server_side}) as connection:\n'
            '    connection.execute("SELECT 1")',
            note=note,
        ),
        Snippet(
            client="SQLAlchemy",
            language="python",
            code="from sqlalchemy import NullPool, create_engine\n\n"
            f'engine = create_engine("{uri.replace("postgresql://", "postgresql+psycopg://", 1)}", poolclass=NullPool)'
            if pooled
            else "from sqlalchemy import create_engine\n\n"
            f'engine = create_engine("{uri.replace("postgresql://", "postgresql+psycopg://", 1)}")',
            note="The cluster's poolers keep connections, so the engine need not." if pooled else "",
        ),
        Snippet(client="Django", language="python", code=_django(plain, query, transaction=transaction), note=note),
        Snippet(
            client="node-postgres",
            language="js",
            code=f'import pg from "pg"\n\nconst pool = new pg.Pool({{ connectionString: "{uri}" }})\n'
            'await pool.query("SELECT 1")',
        ),
        Snippet(
            client="pgx",
            language="go",
            code=f'config, _ := pgx.ParseConfig("{uri}")\n'
            + ("config.DefaultQueryExecMode = pgx.QueryExecModeExec\n" if transaction else "")
            + "connection, err := pgx.ConnectConfig(ctx, config)",
            note=note,
        ),
        Snippet(
            client="JDBC",
            language="properties",
            code=f"jdbc:postgresql://{plain.rpartition('@')[2]}{'?' if jdbc else ''}{jdbc}\n"
            f"user = {user}\npassword = {password}",
            note=note,
        ),
    )


def _django(plain: str, query: str, *, transaction: bool) -> str:
    login, _, rest = plain.removeprefix("postgresql://").rpartition("@")
    user, _, password = login.partition(":")
    at, _, database = rest.partition("/")
    host, _, port = at.rpartition(":")
    lines = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port}
    lines |= {"NAME": database, "USER": user, "PASSWORD": password}
    code = "".join(f'        "{name}": "{value}",\n' for name, value in lines.items())
    cursors = '        "DISABLE_SERVER_SIDE_CURSORS": True,\n' if transaction else ""
    options = f'        "OPTIONS": {json.dumps(dict(parse_qsl(query)))},\n' if query else ""
    return f'DATABASES = {{\n    "default": {{\n{code}{cursors}{options}    }}\n}}'
