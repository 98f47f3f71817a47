"""SQL that nobody's name should be: what it would do if a name reached a statement as text."""

from itertools import product

MARK = "injected"
"""Every object that a payload would make has this in its name."""

_BREAK_OUT = (
    "'",
    '"',
    "';",
    '";',
    "')",
    '")',
    "';--",
    '"; --',
    "\\'",
    "$$;",
    "x;",
    "''",
    '""',
    "\u02bc;",
    "%27",
    "E'\\x27",
)
_STATEMENTS = (
    f"CREATE ROLE {MARK} SUPERUSER LOGIN",
    f"CREATE TABLE public.{MARK} (a int)",
    f"CREATE DATABASE {MARK}",
    f"CREATE SCHEMA {MARK}",
    "DROP TABLE public.kept",
    'DROP DATABASE "fly-db"',
    'DROP ROLE "fly-user"',
    "ALTER ROLE postgres PASSWORD 'x'",
    "ALTER SYSTEM SET max_connections = 1",
    'GRANT schema_admin TO "fly-user"',
    "UPDATE public.kept SET a = 0",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/injected'",
    "SELECT pg_sleep(30)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
)  # fmt: skip
_OTHERS = (
    "' OR '1'='1", '" OR ""="', "' UNION SELECT rolpassword FROM pg_authid --", "admin'--", "') OR ('1'='1'--",
    "${jndi:ldap://x}", "{{7*7}}", "%s", "%(name)s", "{0}", "{name!r}", ":name", "$1", "?", "a\0b", "a\\", "a\\'; --",
    "\ufe4b\uff07; --", "kept; \\! id", "\\c postgres", "a/**/b", "a--b", "(SELECT 1)", "1; --", "pg_read_all_data",
    "postgres", "pg_monitor", "public", "current_user", "session_user", "none", "*", "x" * 64, "😀'; --", "a\nb",
    "a\tb",
)  # fmt: skip

# These may be names, so they reach statements.
REACHING = (
    'x"--', 'x"SUPERUSER--', 'x"LOGIN', 'x"),("y', 'x")--', 'x"||pg_sleep(30)||"', '"', '""', 'x"".public"', 'a"b"c',
    "x--", "$$", "x$$y", "$1", "{0}", "{name!r}", "(SELECT(1))", "current_user", "session_user", "user", "*", "x`y",
    'x"IN<ROLE>"', 'x"!U&"', "true", "null", "x*y",
)  # fmt: skip

PAYLOADS = tuple(
    dict.fromkeys(
        [f"x{quote} {statement}; --" for quote, statement in product(_BREAK_OUT, _STATEMENTS)] + [*_OTHERS, *REACHING]
    )
)
"""More than 200, each of which is another one."""
