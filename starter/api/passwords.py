"""Passwords in answers: for callers who may change the cluster, and nobody else."""

from model.base import Record
from model.cluster import ClusterView
from model.errors import Refused
from starter.api.call import Call
from starter.api.errors import ApiError
from starter.client import shapes
from starter.client.audit import AuditAction
from starter.client.connection import connection, read_master_key
from starter.client.shapes import Credentials


class UserCredentials(Record):
    """How a user logs in."""

    username: str
    password: str


def user_credentials(call: Call, view: ClusterView, username: str) -> UserCredentials:
    """Return the password of a user. Raises NotFound, NotYet, Refused; 403 for a token that may only read."""
    if not call.sees_passwords(view):
        raise ApiError(403, "This token may only read, and is shown no passwords.")
    found = connection(view.state, master_key=read_master_key(call.settings.master_key_file), user=username)
    call.mpg.note(AuditAction.READ_PASSWORD, view.state.spec, found.user)
    return UserCredentials(username=found.user, password=found.password)


def credentials_after_rotation(call: Call, view: ClusterView, username: str) -> UserCredentials:
    """Return the same of a user whose password was rotated, without it where it cannot be shown: that is done."""
    try:
        return user_credentials(call, view, username)
    except Refused:
        return UserCredentials(username=username, password="")


def own_credentials(call: Call, view: ClusterView) -> Credentials:
    """Return how the cluster's own user connects, with empty strings where that is not known or not for the caller."""
    try:
        known = shapes.credentials(view, read_master_key(call.settings.master_key_file))
    except Refused:  # the cluster has another master key than this stack
        return Credentials(status="error", user="", password="", dbname="", pgbouncer_uri="")
    if call.sees_passwords(view):
        try:
            if known.password:
                call.mpg.note(AuditAction.READ_PASSWORD, view.state.spec, known.user)
            return known
        except Refused:  # what cannot be recorded is not shown; of the cluster, which clients poll, it says nothing
            pass
    return known.model_copy(update={"password": "", "pgbouncer_uri": ""})
