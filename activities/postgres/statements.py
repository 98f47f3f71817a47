"""The SQL of the role system, with every name quoted by ``psycopg.sql``.

Three groups own the rights and people are members of one (docs/architecture.md, "Users and roles"). All that is made
in a user's database belongs to ``schema_admin``; its default privileges give ``reader`` and ``writer`` theirs on what
is made later. Nothing here depends on ``search_path``: the platform's connections pin it.
"""

from collections.abc import Sequence
from typing import LiteralString

from psycopg.sql import SQL, Composed, Identifier, Literal

from model.cluster import Role
from model.names import PLATFORM_SCHEMA, POOLER_USER, REPLICATOR, SUPERUSER

SCHEMA_ADMIN = Identifier(Role.SCHEMA_ADMIN)
WRITER = Identifier(Role.WRITER)
READER = Identifier(Role.READER)

Script = SQL | Composed
"""One statement or several; without parameters they go to the server in one message."""

ENDING_SESSIONS = "mpg.ending_sessions"
"""A setting on a user's role while its sessions still have to be ended after a change of role."""

_NO_ATTRIBUTES: LiteralString = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"

KEEP_VERIFIERS_OUT = SQL(
    "SELECT set_config(setting, value, true) FROM (VALUES"
    " ('pg_stat_statements.track', 'none'), ('track_activities', 'off'), ('log_statement', 'none'),"
    " ('log_min_duration_statement', '-1'), ('log_min_duration_sample', '-1'), ('log_transaction_sample_rate', '0'),"
    " ('log_duration', 'off'), ('log_min_error_statement', 'panic')) AS quiet (setting, value)"
)
"""Until the transaction ends, no statement reaches pg_stat_statements, the log, or pg_stat_activity (whose text the
postmaster logs when a backend crashes, and the deadlock detector when two wait for each other)."""


def script(*parts: Script) -> Composed:
    """Return *parts* as one script."""
    return SQL(";\n").join(parts)


def create_group(name: str) -> Composed:
    """Make a role that cannot log in."""
    return SQL("CREATE ROLE {} NOLOGIN").format(Identifier(name))


# What pg_rewind calls on its source (PostgreSQL manual, pg_rewind, "Notes"), and the database that it connects to.
_REWIND_RIGHTS = SQL(
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean),"
    " pg_catalog.pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO {0};"
    " GRANT CONNECT ON DATABASE postgres TO {0}"
)


def put_platform_role(name: str, verifier: str, *, exists: bool) -> Composed:
    """Make, or put right, the role of replication or that of the poolers."""
    attributes = SQL("LOGIN REPLICATION" if name == REPLICATOR else "LOGIN NOREPLICATION")
    verb = SQL("ALTER" if exists else "CREATE")
    role = SQL("{} ROLE {} {} PASSWORD {}").format(verb, Identifier(name), attributes, Literal(verifier))
    return script(role, _REWIND_RIGHTS.format(Identifier(name))) if name == REPLICATOR else role


def shape_user(name: str, role: Role, limit: int, verifier: str | None, *, exists: bool) -> Composed:
    """Make a user's role, or give it the attributes of *role*; memberships are apart. None keeps the password.

    A schema admin does not inherit the group's rights but becomes the group at login: what it makes belongs to the
    group, and after ``SET ROLE NONE`` it can make nothing.
    """
    admin = role is Role.SCHEMA_ADMIN
    user = Identifier(name)
    return script(
        SQL("{} ROLE {} LOGIN {} {} CONNECTION LIMIT {}{}").format(
            SQL("ALTER" if exists else "CREATE"),
            user,
            SQL("NOINHERIT" if admin else "INHERIT"),
            SQL(_NO_ATTRIBUTES),
            Literal(limit),
            SQL("") if verifier is None else SQL(" PASSWORD {}").format(Literal(verifier)),
        ),
        SQL("ALTER ROLE {} SET role = {}").format(user, Literal(str(role)))
        if admin
        else SQL("ALTER ROLE {} RESET role").format(user),
    )


def grant_group(name: str, role: Role) -> Composed:
    """Make the user a member of its group. The membership inherits if the user's role does."""
    return SQL("GRANT {} TO {}").format(Identifier(role), Identifier(name))


def revoke_membership(group: str, name: str, grantor: str) -> Composed:
    """End a membership as *grantor* recorded it."""
    return SQL("REVOKE {} FROM {} GRANTED BY {}").format(Identifier(group), Identifier(name), Identifier(grantor))


def mark_ending_sessions(name: str, *, pending: bool) -> Composed:
    """Note on the role that its sessions have to be ended, or that they were."""
    action: LiteralString = "ALTER ROLE {} SET {} = 'on'" if pending else "ALTER ROLE {} RESET {}"
    return SQL(action).format(Identifier(name), Identifier(*ENDING_SESSIONS.split(".")))


def set_password(name: str, verifier: str) -> Composed:
    """Store a SCRAM verifier."""
    return SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(name), Literal(verifier))


def set_limit(name: str, limit: int) -> Composed:
    """Bound how many sessions of the role there may be."""
    return SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(Identifier(name), Literal(limit))


def strip_attributes(name: str) -> Composed:
    """Take every attribute away that only the platform may have."""
    return SQL("ALTER ROLE {} {}").format(Identifier(name), SQL(_NO_ATTRIBUTES))


def grant_database(name: str) -> Composed:
    """Rights on a user's database.

    CONNECT stays with PUBLIC, because it is checked before a user becomes its group. Temporary tables are for those
    who may write. The platform owns the database, so that nobody else can drop or rename it.
    """
    database = Identifier(name)
    return script(
        SQL("ALTER DATABASE {} OWNER TO {}").format(database, Identifier(SUPERUSER)),
        SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
        SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(database),
        SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}").format(database, SCHEMA_ADMIN),
        SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, WRITER),
    )


CLOSE_PLATFORM_DATABASES = SQL("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
"""Nobody but the platform connects to these."""


_SCHEMAS: LiteralString = "USAGE"
_TABLES: tuple[LiteralString, LiteralString] = ("SELECT", "SELECT, INSERT, UPDATE, DELETE")
_SEQUENCES: tuple[LiteralString, LiteralString] = ("SELECT", "USAGE, SELECT, UPDATE")
"""What a reader and a writer may do. Functions and types need no grant: PUBLIC may use them, and a schema admin that
revokes that from PUBLIC (as one does with SECURITY DEFINER functions) must not leave it with a group. TRUNCATE is a
schema admin's: it skips row triggers and locks the table."""


def default_privileges() -> Composed:
    """Rights on what a schema admin makes later in this database."""
    reader, writer = _TABLES
    reads, uses = _SEQUENCES
    line = SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT {} ON {} TO {}")
    return script(
        line.format(SCHEMA_ADMIN, SQL(_SCHEMAS), SQL("SCHEMAS"), SQL(", ").join((READER, WRITER))),
        line.format(SCHEMA_ADMIN, SQL(reader), SQL("TABLES"), READER),
        line.format(SCHEMA_ADMIN, SQL(writer), SQL("TABLES"), WRITER),
        line.format(SCHEMA_ADMIN, SQL(reads), SQL("SEQUENCES"), READER),
        line.format(SCHEMA_ADMIN, SQL(uses), SQL("SEQUENCES"), WRITER),
    )


def grant_existing(
    schemas: Sequence[Identifier], tables: Sequence[Identifier], sequences: Sequence[Identifier]
) -> Composed | None:
    """Rights on what is there already, those of :func:`default_privileges`; None if nothing is."""
    rights: tuple[tuple[LiteralString, Sequence[Identifier], Identifier], ...] = (
        (f"{_SCHEMAS} ON SCHEMA", schemas, READER),
        (f"{_SCHEMAS} ON SCHEMA", schemas, WRITER),
        (f"{_TABLES[0]} ON TABLE", tables, READER),
        (f"{_TABLES[1]} ON TABLE", tables, WRITER),
        (f"{_SEQUENCES[0]} ON SEQUENCE", sequences, READER),
        (f"{_SEQUENCES[1]} ON SEQUENCE", sequences, WRITER),
    )
    line = SQL("GRANT {} {} TO {}")
    grants = [line.format(SQL(what), SQL(", ").join(names), whom) for what, names, whom in rights if names]
    return script(*grants) if grants else None


def public_schema() -> Composed:
    """Give the schema ``public`` to the schema admins; the others may use it and PUBLIC cannot create in it."""
    return script(
        SQL("ALTER SCHEMA public OWNER TO {}").format(SCHEMA_ADMIN),
        SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(READER, WRITER),
    )


def user_lookup() -> Composed:
    """The function by which PgBouncer authenticates users, and who may call it.

    It runs as the superuser, so it reads one catalog by its full name under a pinned search_path, and it answers
    neither for superusers nor for the platform's roles: nobody logs in as those through a pooler.
    """
    schema, pooler = Identifier(PLATFORM_SCHEMA), Identifier(POOLER_USER)
    function = SQL("{}.user_lookup(text)").format(schema)
    return script(
        SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema),
        SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(schema),
        SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, pooler),
        SQL(
            "CREATE OR REPLACE FUNCTION {}.user_lookup(text, OUT username text, OUT password text)"
            " RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$"
            " SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin"
            " AND NOT rolsuper AND NOT rolreplication AND left(rolname, 4) <> 'mpg_'"
            " AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) $$"
        ).format(schema),
        SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(function),
        SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, pooler),
    )


def prepare_database() -> Composed:
    """All that the role system needs inside a database. In template1 it reaches every database made later."""
    return script(public_schema(), default_privileges(), user_lookup())


def reassign_owned(name: str) -> Composed:
    """Make what *name* owns in this database the schema admins'."""
    return SQL("REASSIGN OWNED BY {} TO {}").format(Identifier(name), SCHEMA_ADMIN)


def drop_owned(name: str) -> Composed:
    """Drop the rights *name* has in this database, after :func:`reassign_owned`."""
    return SQL("DROP OWNED BY {}").format(Identifier(name))
