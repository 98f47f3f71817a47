"""Adoption as data: what is found of clusters that no workflow knows, and what Postgres tells about one of them."""

from datetime import datetime
from enum import StrEnum

from model.base import Record
from model.cluster import ClusterSpec, ClusterState, Database, Durability, FormerUser, Tls, User
from model.storage import AutoGrow


class Origin(Record):
    """What was settled when a cluster was made, and what no operation changes, but for its storage.

    It is on the label of the endpoint, the one container that is never made again. An operation that is to change one
    of these has to keep it elsewhere: what storage has grown to is noted in Postgres (``NOTE_STORAGE``), and how
    clients come in, and what commits wait for, is in a file of the endpoint (``SET_TLS``, ``NOTE_DURABILITY``).
    """

    org: str
    region: str
    host: str
    durability: Durability
    storage_gb: int
    postgis_enabled: bool = False
    tls: Tls = Tls.OFF
    created_at: datetime

    @classmethod
    def of(cls, spec: ClusterSpec) -> "Origin":
        """Return the part of *spec* that is settled."""
        return cls.model_validate(spec.model_dump(include=set(cls.model_fields)))


class KeyFit(StrEnum):
    """Whether the platform's passwords in a cluster are those derived from this stack's master key."""

    FITS = "fits"
    DOES_NOT_FIT = "does_not_fit"
    UNKNOWN = "unknown"
    """Its primary does not answer."""


class FindClustersInput(Record):
    """Ask which clusters' containers a host has. With ``read`` those that are not known are looked at closely."""

    read: bool = True


class FoundCluster(Record):
    """A cluster whose containers are on a host. ``known`` tells whether a workflow of this Temporal has it.

    ``problem`` says why it cannot be adopted as it is, ``notes`` what adopting it would take for granted. All but the
    names is only there where it was asked for.
    """

    id: str
    name: str
    org: str
    known: bool
    plan: str | None = None
    primary: str | None = None
    key: KeyFit = KeyFit.UNKNOWN
    problem: str | None = None
    notes: tuple[str, ...] = ()


class FoundClusters(Record):
    """What was found, by name."""

    clusters: tuple[FoundCluster, ...]


class ReadClusterInput(Record):
    """Rebuild a cluster's state from its containers, under the name ``name`` or else the one on their labels."""

    cluster_id: str
    name: str | None = None


class AdoptionReading(Record):
    """A cluster's state as its containers tell it, without users and databases; that on record where it is known."""

    state: ClusterState
    known: bool = False
    other_key: bool | None = None
    """Whether a cluster that is known has another master key than this stack; None where that was not looked at."""
    stack_key: str | None = None
    """Id of this stack's master key, of a cluster that is known; None from workers that did not tell."""
    key_id: str | None = None
    """Of the master key with which the primary's container was made."""
    notes: tuple[str, ...] = ()
    """What was taken for granted, one sentence each."""


class EnsureAccessInput(Record):
    """See that the platform can log in to the cluster; with ``new_key`` its roles get passwords of this key."""

    state: ClusterState
    new_key: bool = False


class Access(Record):
    """Whether the platform's roles were given new passwords."""

    renewed: bool


class Catalog(Record):
    """What Postgres itself knows of a cluster: users with roles and password versions, databases.

    ``former_users`` are those deleted last, the latest at the end.
    """

    users: tuple[User, ...]
    databases: tuple[Database, ...]
    legacy_roles: bool
    former_users: tuple[FormerUser, ...] = ()
    storage_gb: int | None = None
    """What the cluster has grown to, if it has."""
    auto_grow: AutoGrow | None = None
