"""Connection strings: where a cluster's clients connect, as which user, with which password."""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from model.base import Record
from model.checks import require_database, require_user
from model.cluster import WRONG_MASTER_KEY, Address, ClusterSpec, ClusterState, Tls
from model.errors import NotYet, Refused
from model.master_key import load_master_key
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from model.secrets import derive_password


class EndpointKind(StrEnum):
    """The three addresses of a cluster: through the poolers, to the primary, to the replica."""

    POOLED = "pooled"
    DIRECT = "direct"
    READ_ONLY = "read_only"


class Connection(Record):
    """Everything that a client needs to connect."""

    host: str
    port: int
    user: str
    password: str
    database: str
    ca_file: Path | None = None
    """What the server's certificate is verified with, its name included; None: libpq's default, which asks for none."""

    @property
    def uri(self) -> str:
        """The connection as a libpq URI, percent-encoded (RFC 3986)."""
        user, password, database = (quote(part, safe="") for part in (self.user, self.password, self.database))
        query = "" if self.ca_file is None else f"?{verifying(self.ca_file)}"
        return f"postgresql://{user}:{password}@{_bracketed(self.host)}:{self.port}/{database}{query}"


def verifying(ca_file: Path) -> str:
    """Return the query of a libpq URI with which the server's certificate and its name are verified."""
    return f"sslmode=verify-full&sslrootcert={quote(str(ca_file), safe='/')}"


def connection(
    state: ClusterState,
    *,
    master_key: bytes,
    user: str = DEFAULT_USER,
    database: str = DEFAULT_DATABASE,
    kind: EndpointKind = EndpointKind.POOLED,
    ca_file: Path | None = None,
) -> Connection:
    """Return how *user* connects to *database*; with *ca_file* only to a server that it vouches for.

    Raises:
        NotFound: the cluster has no such user or database.
        NotYet: the cluster has no endpoint yet.
        Refused: the user's password is not one that can be derived, or not from this key; or nothing can be verified.
    """
    spec = state.spec
    if (wrong := state.status.condition(WRONG_MASTER_KEY)) is not None:
        raise Refused(wrong.message)
    found = require_user(spec, user)
    require_database(spec, database)
    if not found.password_known:
        raise Refused(
            f"The password of user {user!r} of cluster {spec.name} is not known here: it is the one that the user had "
            "when the cluster was adopted.",
            remedy=f"Give it a new one with 'mpg users rotate-password {spec.name} -u {user}'.",
        )
    if ca_file is not None:
        check_verifiable(spec, ca_file)
    at = address(state, kind)
    password = derive_password(master_key, spec.id, user, found.password_version)
    return Connection(host=at.host, port=at.port, user=user, password=password, database=database, ca_file=ca_file)


def check_verifiable(spec: ClusterSpec, ca_file: Path) -> None:
    """Raise :class:`~model.errors.Refused` where the cluster has no certificate, or there is none to verify it with."""
    if spec.tls is Tls.OFF:
        raise Refused(
            f"Cluster {spec.name} was made before there was TLS.", remedy=f"Run 'mpg tls {spec.name} --offer' first."
        )
    if not ca_file.exists():
        raise Refused(
            f"There is no {ca_file} to verify certificates with.",
            remedy="It is made when the stack starts, in its state directory: set MPG_HOME to that.",
        )


def connection_uri(
    state: ClusterState,
    *,
    master_key: bytes,
    user: str = DEFAULT_USER,
    database: str = DEFAULT_DATABASE,
    kind: EndpointKind = EndpointKind.POOLED,
    ca_file: Path | None = None,
) -> str:
    """Return :func:`connection` as a URI. Raises what that raises."""
    return connection(state, master_key=master_key, user=user, database=database, kind=kind, ca_file=ca_file).uri


def address(state: ClusterState, kind: EndpointKind) -> Address:
    """Return where clients connect. Raises :class:`NotYet` while the cluster has no endpoint."""
    endpoint = state.status.endpoint
    if endpoint is None:
        raise NotYet(f"Cluster {state.spec.name} has no endpoint yet.", remedy="Wait until 'mpg status' says ready.")
    match kind:
        case EndpointKind.POOLED:
            return endpoint.pooled
        case EndpointKind.DIRECT:
            return endpoint.direct
        case EndpointKind.READ_ONLY:
            return endpoint.read_only


def read_master_key(path: Path) -> bytes:
    """Return the master key in *path*.

    Unlike the worker, a client never makes one: passwords derived from a new key would be wrong without a word.
    Raises :class:`Refused` when there is none, or when it cannot be used.
    """
    if not path.exists():
        raise Refused(
            f"There is no master key at {path}, so passwords cannot be derived here.",
            remedy="Set MPG_HOME to the stack's state directory, or start the stack with 'mpg up'.",
        )
    return load_master_key(path)


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
