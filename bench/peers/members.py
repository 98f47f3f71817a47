"""What Patroni and Docker say of a cluster, read."""

import json
from collections.abc import Sequence

from model.base import Record


class Member(Record):
    """A member as ``GET /cluster`` of Patroni's REST API lists it."""

    name: str
    role: str
    state: str


def parse_members(answer: str) -> tuple[Member, ...]:
    """Return the members in *answer*. Raises ``ValueError`` for anything else."""
    try:
        listed = json.loads(answer)["members"]
        return tuple(Member(**{field: each[field] for field in Member.model_fields}) for each in listed)
    except (KeyError, TypeError) as error:
        raise ValueError("This is no answer of Patroni's about its members.") from error


def leader(members: Sequence[Member]) -> Member | None:
    """Return the member that leads and runs."""
    return next((each for each in members if each.role == "leader" and each.state == "running"), None)


def is_whole(members: Sequence[Member]) -> bool:
    """Tell whether one member leads and the other is its synchronous standby, and streams."""
    standbys = [each for each in members if each.role == "sync_standby" and each.state == "streaming"]
    return leader(members) is not None and len(standbys) == len(members) - 1 == 1


def postmaster(processes: Sequence[Sequence[str]]) -> int:
    """Return the postmaster's process id from rows of pid and command line. Raises ``LookupError``."""
    for pid, command in processes:
        program, _, rest = command.partition(" ")
        if program.endswith("/postgres") and rest.startswith("-D "):
            return int(pid)
    raise LookupError("No postmaster runs there.")


def processes_of_node(processes: Sequence[Sequence[str]]) -> list[int]:
    """Return the process ids of agent, Postgres and pooler from such rows: not those that keep the container."""
    kept = ("tini ", "bash ", "sleep ")
    return [int(pid) for pid, command in processes if not command.startswith(kept)]
