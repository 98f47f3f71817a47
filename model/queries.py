"""What runs in a cluster's databases and what ran, as it is shown to people; the requests for it."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from model.base import Record
from model.cluster import User
from model.names import ClusterId, DatabaseName
from model.operations import Request

MOST_SESSIONS = 200
MOST_STATEMENTS = 50
"""In each order."""
MOST_STATEMENTS_KEPT = 20
"""Those that took the most time have a history, in all databases of a cluster together."""
MOST_SUGGESTIONS = 50
MOST_CHARACTERS = 1200
"""Of a statement's text. A look has up to 350 of them, and Temporal takes 2 MB for one answer."""
MOST_PLAN_LINES = 1000
"""Of a plan: one over thousands of partitions is cut."""
EXPLAIN = "EXPLAIN (GENERIC_PLAN, FORMAT TEXT) "
"""What plans are asked with. Postgres counts that as well, and lists leave it out."""
GONE_USER = "a user that is gone"
"""In place of the role whose statement it was."""
STATEMENT_ID = r"^-?[0-9]{1,19}$"

StatementId = Annotated[str, Field(pattern=STATEMENT_ID)]
"""A ``queryid`` of pg_stat_statements, as text: JSON's numbers do not hold 64 bits."""


class Session(Record):
    """A client's session on the primary. ``pid`` and ``began`` name it: process ids come again.

    Seconds are counted to the moment of the reading; those of a transaction are None outside of one. ``blocked_by`` are
    process ids, of which 0 is a prepared transaction's.
    """

    pid: int
    began: datetime
    user: str
    database: str
    application: str
    client: str
    state: str
    waits_for: str | None
    blocked_by: tuple[int, ...]
    state_seconds: float
    transaction_seconds: float | None
    query: str
    """What it runs, or ran last."""


class Statement(Record):
    """A statement of pg_stat_statements: its values are parameters. Times are in milliseconds.

    ``user`` is the role in force: for a schema admin its group. ``id`` is the ``queryid``.
    """

    id: str = ""
    user: str
    database: str
    query: str
    calls: int
    total_ms: float
    mean_ms: float
    rows: int
    hit_ratio: float | None
    """Which part of the blocks that it needed were in shared buffers; None where it needed none."""


class StatementOrder(StrEnum):
    """Which statements come first."""

    TIME = "time"
    """Those that took the most time in all."""
    MEAN = "mean"
    """Those whose calls take longest."""
    CALLS = "calls"
    """Those that ran most often."""


def ordered(statements: Iterable[Statement], by: StatementOrder) -> tuple[Statement, ...]:
    """Return the first :data:`MOST_STATEMENTS` of *statements*."""

    def size(each: Statement) -> float:
        match by:
            case StatementOrder.TIME:
                return each.total_ms
            case StatementOrder.MEAN:
                return each.mean_ms
            case StatementOrder.CALLS:
                return each.calls

    return tuple(sorted(statements, key=size, reverse=True)[:MOST_STATEMENTS])


class SessionCount(Record):
    """How many sessions on the primary a user has in one state, and how many of those wait for a lock.

    ``longest_transaction_s`` is the age of their oldest transaction, in seconds; None where none is in one.
    """

    user: str
    state: str
    sessions: int
    waiting: int
    longest_transaction_s: float | None


class SuggestionKind(StrEnum):
    """What about a table or an index deserves a look."""

    UNUSED_INDEX = "unused index"
    NO_INDEX_FOR_KEY = "foreign key without an index"
    NEEDS_VACUUM = "needs vacuum"


class Suggestion(Record):
    """Something that deserves a look, and the statement that would change it."""

    kind: SuggestionKind
    about: str
    why: str
    statement: str


class Queries(Record):
    """One look at a primary. ``sessions`` are at most :data:`MOST_SESSIONS`, ``counts`` count all of them.

    ``statements`` are those that come first in any :class:`StatementOrder`, by time, as counted since
    ``statements_since``.
    """

    at: datetime
    sessions: tuple[Session, ...]
    counts: tuple[SessionCount, ...] = ()
    statements: tuple[Statement, ...]
    statements_since: datetime | None
    suggestions: tuple[Suggestion, ...] = ()
    """About the database that was asked about; none where none was."""
    no_suggestions: str | None = None
    """Why there are none, a sentence, where that could not be found out."""


class StatementPlan(Record):
    """The generic plan of a statement: for whatever values it has. ``user`` is the role that it was made as."""

    id: str
    user: str
    database: str
    query: str
    plan: str


class StatementsChosen(Record):
    """Statements whose histories are asked for."""

    ids: frozenset[StatementId] = Field(max_length=MOST_STATEMENTS)


class StatementAsked(Record):
    """Which statement's plan is asked for: of the one that took the most time where several fit.

    ``users`` are those of the cluster: as one of them it is planned.
    """

    id: StatementId
    database: str | None = None
    user: str | None = None
    users: tuple[User, ...]


class ReadQueriesRequest(Request):
    """Ask what runs and what ran: input of the workflow ``ReadQueries``, which changes nothing.

    With a ``statement`` the answer is its :class:`StatementPlan` alone, else :class:`Queries`.
    """

    workflow: ClassVar[str] = "ReadQueries"
    cluster_id: ClusterId
    address: str
    """The primary's."""
    database: DatabaseName | None = None
    statement: StatementAsked | None = None


class SignalSessionRequest(Request):
    """Cancel what a session runs, or end it: input of the workflow ``SignalSession``."""

    workflow: ClassVar[str] = "SignalSession"
    cluster_id: ClusterId
    address: str
    """The primary's."""
    pid: int = Field(ge=1)
    began: datetime
    end: bool = False


PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES")
"""The commands that Postgres makes plans for."""
_BEGINS_ONE = frozenset({*PLANNED, "WITH", "TABLE"})
_BEFORE = re.compile(r"\s+|\(|--[^\n]*")
_WORD = re.compile(r"[A-Za-z]+")


def utility_command(query: str) -> str | None:
    """Return the first word of a statement that has no plan; None for one that has."""
    found = _WORD.match(query, _beginning(query))
    word = found[0].upper() if found else "?"
    return None if word in _BEGINS_ONE else word


def _beginning(query: str) -> int:
    """Return where the first word is, behind comments and parentheses."""
    at = depth = 0
    while at < len(query):
        if query.startswith("/*", at):  # Postgres' comments nest
            at, depth = at + 2, depth + 1
        elif depth and query.startswith("*/", at):
            at, depth = at + 2, depth - 1
        elif depth:
            at += 1
        elif found := _BEFORE.match(query, at):
            at = found.end()
        else:
            break
    return at
