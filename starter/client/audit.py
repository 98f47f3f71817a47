"""Who asked for what: operations from Temporal's lists, and what is no operation from a record of its own.

A password that is shown leaves no trace in Temporal. So each time one is, a line is appended to a file of the day in
``MPG_HOME/audit``; no line holds a secret. An act has two lines, one before it and one with how it ended; they are read
as one entry. Files older than ``audit_days`` are removed when a new one begins.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from errno import ENOSPC
from getpass import getuser
from pathlib import Path

from pydantic import ValidationError

from model.base import Record
from model.cluster import ClusterSpec
from model.errors import MpgError, Refused, StackDown

AGAIN = timedelta(minutes=1)
"""Clients that poll a cluster are shown its password with each answer."""
MOST_KNOWN = 10_000


class AuditAction(StrEnum):
    """What was done that is no operation."""

    READ_PASSWORD = "ReadPassword"  # noqa: S105  a kind of act
    ATTACH_APP = "AttachApp"
    DETACH_APP = "DetachApp"
    CANCEL_QUERY = "CancelQuery"
    END_SESSION = "EndSession"
    EXPLAIN_STATEMENT = "ExplainStatement"
    CREATE_WEBHOOK = "CreateWebhook"
    DELETE_WEBHOOK = "DeleteWebhook"
    READ_WEBHOOK_SECRET = "ReadWebhookSecret"  # noqa: S105  a kind of act
    REPLAY_WEBHOOK = "ReplayWebhook"


class AuditOutcome(StrEnum):
    """How ended what is no operation."""

    ASKED = "asked"
    """That is not known: whoever did it fell silent."""
    DONE = "done"
    FAILED = "failed"
    """It was refused, or there was nothing to do it to."""


class AuditEntry(Record):
    """Something that was asked for. ``operation`` is its id where it is one.

    ``about`` is a user, a session, a statement, an application or a webhook.
    """

    at: datetime
    actor: str
    action: str
    organization: str
    cluster_id: str
    cluster: str
    outcome: str
    operation: str | None = None
    about: str | None = None


def person() -> str:
    """Return who runs this process, as an actor: the command line's."""
    try:
        return f"cli/{os.environ.get('SUDO_USER') or getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return f"cli/{os.getuid()}"


class AuditRecord:
    """The record of what is no operation; any number of processes append to it."""

    def __init__(self, directory: Path, *, days: int) -> None:
        """Keep files in *directory*, made when needed, for *days* days."""
        self._directory = directory
        self._days = days
        self._shown: dict[tuple[str, str, str], datetime] = {}

    def note(self, actor: str, action: AuditAction, spec: ClusterSpec, about: str) -> None:
        """Append that *actor* is shown this; a password that is shown again within a minute is recorded once.

        Raises :class:`~model.errors.Refused`: what cannot be recorded is not to be done.
        """
        entry = about_cluster(actor, action, spec, about)
        if action is AuditAction.READ_PASSWORD and self._is_known((actor, spec.id, about), entry.at):
            return
        try:
            self.write(entry)
        except Refused:
            self._shown.pop((actor, spec.id, about), None)
            raise

    def write(self, entry: AuditEntry) -> None:
        """Append *entry*. Raises Refused."""
        try:
            self._append(entry.at, f"{entry.model_dump_json(exclude_none=True)}\n".encode())
        except OSError as error:
            raise Refused(
                f"The record in {self._directory} cannot be written: {error.strerror}.",
                remedy="See to its permissions and the room on its disk.",
            ) from error

    @contextmanager
    def acting(self, entry: AuditEntry) -> Generator[None]:
        """Append that this is asked for, and afterwards how it ended.

        Raises :class:`~model.errors.Refused` before it is done, and not once it is.
        """
        outcome = AuditOutcome.ASKED
        self.write(entry.model_copy(update={"outcome": outcome}))
        try:
            yield
            outcome = AuditOutcome.DONE
        except MpgError as error:
            outcome = outcome if isinstance(error, StackDown) else AuditOutcome.FAILED
            raise
        finally:
            if outcome is not AuditOutcome.ASKED:
                with suppress(Refused):
                    self.write(entry.model_copy(update={"outcome": outcome}))

    def _is_known(self, shown: tuple[str, str, str], now: datetime) -> bool:
        last = self._shown.pop(shown, None)
        known = last is not None and now - last < AGAIN
        self._shown[shown] = last if last is not None and known else now
        if len(self._shown) > MOST_KNOWN:
            del self._shown[next(iter(self._shown))]
        return known

    def _append(self, now: datetime, line: bytes) -> None:
        file = self._file(now.date())
        if not file.exists():
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._forget(now.date())
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # One write: lines of several processes do not mix.
            if os.write(descriptor, line) < len(line):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        finally:
            os.close(descriptor)

    def entries(self, since: datetime, until: datetime) -> Iterator[AuditEntry]:
        """Yield what was noted from *since* up to *until*, in the order of the record."""
        for file in sorted(self._directory.glob("*.jsonl")):
            if since.date().isoformat() <= file.stem <= until.date().isoformat():
                asked = (each for each in _lines(file) if since <= each.at < until)
                yield from {each.model_copy(update={"outcome": ""}): each for each in asked}.values()

    def _file(self, day: date) -> Path:
        return self._directory / f"{day.isoformat()}.jsonl"

    def _forget(self, today: date) -> None:
        first = (today - timedelta(days=self._days)).isoformat()
        for file in self._directory.glob("*.jsonl"):
            if file.stem < first:
                file.unlink(missing_ok=True)


def about_cluster(actor: str, action: AuditAction, spec: ClusterSpec, about: str) -> AuditEntry:
    """Return the entry that *actor* did this now to something of a cluster."""
    entry = about_organization(actor, action, spec.org, about)
    return entry.model_copy(update={"cluster_id": spec.id, "cluster": spec.name})


def about_organization(actor: str, action: AuditAction, org: str, about: str) -> AuditEntry:
    """Return the entry that *actor* did this now to something of the whole organization."""
    return AuditEntry(
        at=datetime.now(UTC),
        actor=actor,
        action=action,
        organization=org,
        cluster_id="",
        cluster="",
        outcome=AuditOutcome.DONE,
        about=about,
    )


def _lines(file: Path) -> Iterator[AuditEntry]:
    with suppress(FileNotFoundError), file.open() as lines:
        for line in lines:
            try:
                yield AuditEntry.model_validate_json(line)
            except ValidationError:  # the last one of a host that lost its power
                continue
