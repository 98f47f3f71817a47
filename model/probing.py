"""What one try to ask a node means, and when several of them mean that it is lost. Pure: no clock, no connection.

A node is lost when its files are damaged, or when it is really silent. That it refuses somebody, starts up, or that our
own side failed is no silence: whoever says no lives.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

MISSES = 2
"""Probes in a row that count against a node before it is lost."""
STARTUP_S = 60.0
"""How long a container that just started may be silent: its Postgres does not listen yet."""
STANDBY_STARTS_S = 600.0
"""How long a standby may say that it starts: one that lacks WAL says so for ever. A primary has all that it needs."""
ENDING_S = 60.0
"""How long Postgres may say that it shuts down. One that waits for its clients to leave (SIGTERM) never ends."""


class Outcome(StrEnum):
    """What one try to ask a node came to."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Postgres said no: too many clients, no memory, a wrong password, no such database."""
    STARTING = "starting"
    """Postgres starts, or recovers after a crash, or has not replayed enough to answer."""
    ENDING = "ending"
    """Postgres shuts down."""
    CUT = "cut"
    """A session that was open is not any more, which says nothing of the node."""
    OUR_SIDE = "our side failed"
    """No descriptor, memory, port or route on our side, or a certificate that we cannot read."""
    SILENT = "silent"
    """No answer in time, or none at all."""
    CLOSED = "closed"
    """Nobody listens."""
    DAMAGED = "damaged"
    """Postgres cannot read its own files."""


SPEAKS = frozenset({Outcome.REFUSED, Outcome.STARTING, Outcome.ENDING})
"""Postgres itself has said that it does not answer yet, or not to us."""

_BY_STATE = {"57P01": Outcome.STARTING, "57P02": Outcome.STARTING, "58P01": Outcome.DAMAGED, "58030": Outcome.DAMAGED}
_BY_CLASS = {"XX": Outcome.DAMAGED}
"""Internal error, data corrupted: a checksum of the control file that is wrong has only the first."""
_NOT_THAT_FAR = (
    ("shutting down", Outcome.ENDING),
    ("not yet accepting connections", Outcome.STARTING),
    ("starting up", Outcome.STARTING),
    ("in recovery mode", Outcome.STARTING),
    ("terminating connection", Outcome.STARTING),
)
_FILES = re.compile(r"could not (open|read|access|stat) (file|directory)|subdirectory .* is missing|I/O error")
_SERVER = re.compile(r"\b(FATAL|PANIC|ERROR):")
_OURS = re.compile(
    r"Too many open files|Cannot allocate memory|out of memory|No buffer space|Cannot assign requested address"
    r"|Network is unreachable|Operation not permitted|could not create socket|could not translate host name"
    r"|certificate|private key",
)


def classify(message: str, sqlstate: str | None = None) -> Outcome:
    """Return what an error means that came of asking a node.

    libpq has no code for what happens while it connects, so there the *message* tells: what the server said itself
    stands behind ``FATAL:`` (PostgreSQL 17: postmaster.c, backend_startup.c). Codes are of the manual's appendix A.
    """
    if sqlstate is None and not _SERVER.search(message):
        if _OURS.search(message):
            return Outcome.OUR_SIDE
        return Outcome.CLOSED if "Connection refused" in message else Outcome.SILENT
    if sqlstate is None or sqlstate == "57P03":
        for said, outcome in _NOT_THAT_FAR:
            if said in message:
                return outcome
    if sqlstate in _BY_STATE:
        return _BY_STATE[sqlstate]
    if sqlstate is not None and sqlstate.startswith("53"):
        return Outcome.REFUSED
    if _FILES.search(message) and "Too many open files" not in message:
        return Outcome.DAMAGED
    return _BY_CLASS.get((sqlstate or "")[:2], Outcome.REFUSED)


@dataclass(frozen=True)
class Probed:
    """One probe. ``why`` is what was said, for people."""

    outcome: Outcome
    why: str = ""
    standby: bool = False
    """Whether the node follows another one, as far as is known."""
    queued: bool = False
    """Whether it asked to be let in while the postmaster was at work and others were in its queue."""


@dataclass(frozen=True)
class Judgement:
    """What the probes up to now say of a node. Times are in seconds, of any clock that only goes forward."""

    began: float
    misses: int = 0
    answered: bool = False
    lost: str = ""
    """How the node is lost, in words; empty while it is not."""
    lasting: Outcome | None = None
    since: float = 0.0
    """Since when every probe came to ``lasting``."""

    def after(self, probe: Probed, now: float) -> "Judgement":
        """Return the judgement with *probe*, which ended at *now*."""
        if probe.outcome in {Outcome.CUT, Outcome.OUR_SIDE}:
            return self
        lasting = self if probe.outcome is self.lasting else replace(self, lasting=probe.outcome, since=now)
        if probe.outcome in {Outcome.SILENT, Outcome.CLOSED, Outcome.DAMAGED}:
            return lasting._missed(probe, now)
        heard = self.answered or probe.outcome in {Outcome.ANSWERED, Outcome.REFUSED}
        lost = (
            f"for {now - lasting.since:.0f} s it only said: {probe.why}" if lasting._lasts_too_long(probe, now) else ""
        )
        return replace(lasting, misses=0, answered=heard, lost=lost)

    def _lasts_too_long(self, probe: Probed, now: float) -> bool:
        if probe.outcome is Outcome.STARTING:
            return probe.standby and now - self.since >= STANDBY_STARTS_S
        return probe.outcome is Outcome.ENDING and now - self.since >= ENDING_S

    def _missed(self, probe: Probed, now: float) -> "Judgement":
        if not self.answered and now - self.began < STARTUP_S:
            return self
        # Where more ask to come in than a postmaster can take, each waits for seconds. One that hangs does no work, and
        # one that is cut off has no queue.
        if probe.queued and probe.outcome is Outcome.SILENT:
            return self
        misses = self.misses + 1
        if misses < MISSES:
            return replace(self, misses=misses)
        if probe.outcome is Outcome.DAMAGED:
            return replace(self, misses=misses, lost=f"its data directory is damaged: {probe.why}")
        return replace(self, misses=misses, lost=f"it did not answer {misses} times: {probe.why}")
