"""Rows of a table as one digest: read when a backup is made, and compared where it is restored.

Text is made of a row by its types' output functions, not by a cast, for which the owner of a table may have made a
function of its own.
"""

from collections.abc import Sequence
from itertools import groupby

from psycopg.sql import SQL, Composed, Identifier, Literal

from model.row_samples import Sample, TableSample

SAME_TEXT = SQL(
    "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; "
    "SET extra_float_digits = 1; SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C'; "
)
"""What the text of a value depends on: databases and roles may have settings of their own."""


def read_rows(schema_name: str, name: str, places: Sequence[str], *, untouched: bool) -> Composed:
    """Return the statement for the places where there are rows, in order, and the digest over them.

    With *untouched* rows that somebody deletes, changes or locks, or tried to, are left out.
    """
    return SQL(
        "SELECT array_agg(place ORDER BY place)::text[], "
        "encode(sha256(convert_to(coalesce(string_agg(digest, '' ORDER BY place), ''), 'UTF8')), 'hex') "
        "FROM (SELECT ctid AS place, encode(sha256(convert_to(format('%s', mpg_row), 'UTF8')), 'hex') AS digest "
        "FROM ONLY {table} AS mpg_row WHERE ctid = ANY ({places}::tid[]){untouched}) AS found"
    ).format(
        table=Identifier(schema_name, name),
        places=Literal("{" + ",".join(f'"{each}"' for each in places) + "}"),
        untouched=SQL(" AND mpg_row.xmax = 0" if untouched else ""),
    )


def comparison(sample: Sample) -> str:
    """Return a script for psql that prints a line for each table that is not as it was sampled."""
    by_database = sorted(sample.tables, key=lambda each: each.database)
    parts: list[str] = []
    for database, tables in groupby(by_database, key=lambda each: each.database):
        parts += [f"\\connect {Identifier(database).as_string(None)}", SAME_TEXT.as_string(None)]
        parts += [line for each in tables for line in _compare(each)]
    return "\n".join(parts) + "\n"


def _compare(table: TableSample) -> tuple[str, str]:
    is_there = SQL(
        "EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.oid = {oid} AND c.relfilenode = {filenode} AND c.relname = {name} AND n.nspname = {schema})"
    ).format(
        oid=Literal(table.oid),
        filenode=Literal(table.filenode),
        name=Literal(table.name),
        schema=Literal(table.schema_name),
    )
    gone = SQL("SELECT {said} WHERE NOT {is_there};").format(
        said=Literal(f"Table {table} is not there, or is another one."), is_there=is_there
    )
    rows = SQL("SELECT {said} FROM ({rows}) AS now (places, digest) WHERE digest <> {digest}").format(
        said=Literal(f"Table {table} does not have the rows that were sampled when the backup was made."),
        rows=read_rows(table.schema_name, table.name, table.places, untouched=False),
        digest=Literal(table.digest),
    )
    # Of a table that is not there nothing is read: that would be an error, and the first of its lines is enough.
    run = SQL("SELECT {rows} WHERE {is_there} \\gexec").format(rows=Literal(rows.as_string(None)), is_there=is_there)
    return gone.as_string(None), run.as_string(None)
