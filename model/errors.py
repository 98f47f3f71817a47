"""Every error that reaches a person: a type, one sentence, and what to do about it.

The same hierarchy is used on both sides of Temporal: activities and workflows raise it, it crosses as an
``ApplicationError`` whose type is the class name, and :func:`from_type` makes it an exception again.
"""

HTTP_HEADER = "Mpg-Error"
"""Header of the HTTP API with the type of an error, by which the Python client raises it again."""


class MpgError(Exception):
    """Base of all errors of this project.

    ``retryable`` tells whether trying the same thing again can help.
    """

    retryable = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        """Hold *message*, one clear sentence, and *remedy*, what the reader can do (may be empty)."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InvalidInput(MpgError):
    """The request itself is wrong, whatever the state of the cluster."""


class NotFound(MpgError):
    """The cluster, user, database or operation that the request names does not exist."""


class AlreadyExists(MpgError):
    """The name is taken."""


class Refused(MpgError):
    """The request is well formed, but the cluster's state does not allow it."""


class HostTooSmall(MpgError):
    """The host has fewer resources than the plan needs."""


class HostFull(MpgError):
    """The host has no room left: disk, addresses or ports."""


class LongTransaction(MpgError):
    """A transaction outlived the bound on a pause; nothing was changed."""


class ReplicaBehind(MpgError):
    """The replica is not in a state in which it could take over."""


class Preempted(MpgError):
    """The primary was lost while the operation ran; it was undone."""


class WrongMasterKey(MpgError):
    """The cluster has another master key than the stack; nothing of it is touched."""


class NeedsOperator(MpgError):
    """No safe automatic step is left; the sentence says what a person has to do."""


class Cancelled(MpgError):
    """Somebody cancelled the operation; what it had done was undone."""


class TooOften(MpgError):
    """More is asked for than is done in that time; nothing was begun."""

    retryable = True


class StackDown(MpgError):
    """Temporal or Docker does not answer."""

    retryable = True


class Unconfirmed(StackDown):
    """Temporal fell silent while an operation was being started: whether it was is not known."""


class WorkerStops(MpgError):
    """The worker was asked to stop; the next one goes on."""

    retryable = True


class NotYet(MpgError):
    """Something is not there yet; trying again is expected to help."""

    retryable = True


_TYPES: dict[str, type[MpgError]] = {
    cls.__name__: cls
    for cls in (
        InvalidInput,
        NotFound,
        AlreadyExists,
        Refused,
        HostTooSmall,
        HostFull,
        LongTransaction,
        ReplicaBehind,
        Preempted,
        WrongMasterKey,
        NeedsOperator,
        Cancelled,
        TooOften,
        StackDown,
        Unconfirmed,
        WorkerStops,
        NotYet,
    )
}


def is_ours(name: str | None) -> bool:
    """Tell whether *name* is the type of an error of this project."""
    return name in _TYPES


def from_type(name: str | None, message: str) -> MpgError:
    """Return the error whose class is *name*, or a plain :class:`MpgError` for a type that is not ours."""
    return _TYPES.get(name or "", MpgError)(message)


NON_RETRYABLE = tuple(sorted(name for name, cls in _TYPES.items() if not cls.retryable))
"""Names for a Temporal retry policy's ``non_retryable_error_types``."""
