"""Effects between workflows: turns, facts, names, the end of an operation. Implemented in activities/operations.py."""

from model.base import Record
from model.cluster import ClusterState
from model.effects.effect import Effect, Kind, Nothing
from model.operations import Commit, TurnRequest


class AwaitOperationInput(Record):
    """Wait for the end of an operation's workflow."""

    operation_id: str
    run_id: str


class OperationEnd(Record):
    """Whether the operation completed, and if not, how it ended, in Temporal's word, and whom it was about."""

    completed: bool
    how: str
    username: str | None = None
    database: str | None = None


class TakeTurnInput(Record):
    """An operation asks its cluster for the turn."""

    cluster_id: str
    request: TurnRequest


class TurnAnswer(Record):
    """The cluster's state if the turn was granted at once; None: the grant comes by signal."""

    state: ClusterState | None = None


class CommitInput(Record):
    """Facts for the cluster's record. They are on it when the effect returns."""

    cluster_id: str
    commit: Commit


class NameClaim(Record):
    """A cluster's name, who holds it, and the operation that claimed it."""

    org: str
    name: str
    cluster_id: str
    operation_id: str


class ReleaseStaleNameInput(Record):
    """Free a name whose holder is gone: neither its cluster nor the operation that claimed it runs."""

    org: str
    name: str


class NameReleased(Record):
    """Whether the name is free now."""

    released: bool


TAKE_TURN = Effect("take_turn", TakeTurnInput, TurnAnswer, Kind.SQL, "operations:OperationActivities")
COMMIT_FACTS = Effect("commit_facts", CommitInput, Nothing, Kind.SQL, "operations:OperationActivities")
RELEASE_STALE_NAME = Effect(
    "release_stale_name", ReleaseStaleNameInput, NameReleased, Kind.SQL, "operations:OperationActivities"
)
AWAIT_OPERATION_END = Effect(
    "await_operation_end", AwaitOperationInput, OperationEnd, Kind.WATCH, "operations:OperationActivities"
)
