"""Labels on what belongs to a cluster: which cluster, what it is, and enough to rebuild the cluster's state."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

from pydantic import ValidationError

from model.adoption import Origin
from model.base import Record
from model.cluster import Endpoint, Pooler
from model.effects import Bootstrap, NodeSpec
from model.names import LABEL_CLUSTER, LABEL_KIND, LABEL_NAME, LABEL_SPEC, LABEL_STATE
from model.plans import Plan


class Kind(StrEnum):
    """What a container, volume or network is to its cluster."""

    NODE = "node"
    POOLER = "pooler"
    ENDPOINT = "endpoint"
    NETWORK = "network"
    SOCKETS = "sockets"
    BACKUPS = "backups"
    """The volume with its backups and archive."""
    BACKUP = "backup"
    """A container that makes a backup, or works on the repository."""
    DRILL = "drill"
    """The container, and its volume, in which a backup is restored to see that it can be."""


class StateLabel(Record):
    """The content of ``mpg.state``: the part of the cluster's state that the container stands for. No secrets."""

    cluster_id: str
    cluster_name: str
    node: NodeSpec | None = None
    plan: Plan | None = None
    """A node's plan in full, as it was when the node was made."""
    key_id: str | None = None
    """From which master key the node's files were made (:func:`model.secrets.key_id`)."""
    bootstrap: Bootstrap | None = None
    pooler: Pooler | None = None
    endpoint: Endpoint | None = None
    origin: Origin | None = None
    """On the endpoint."""


def cluster_labels(cluster_id: str) -> dict[str, str]:
    """Return the labels by which all that belongs to a cluster is found."""
    return {LABEL_CLUSTER: cluster_id}


def make_labels(cluster_id: str, kind: Kind, name: str, *, state: StateLabel | None = None) -> dict[str, str]:
    """Return the labels of one thing."""
    labels = {**cluster_labels(cluster_id), LABEL_KIND: kind.value, LABEL_NAME: name}
    if state is not None:
        labels[LABEL_STATE] = state.model_dump_json(exclude_none=True)
    return labels


def read_state(labels: Mapping[str, str]) -> StateLabel | None:
    """Return what ``mpg.state`` says, or None where it is missing or not of a form we know."""
    try:
        return StateLabel.model_validate_json(labels.get(LABEL_STATE, ""))
    except ValidationError:
        return None


def node_digest(spec: NodeSpec, rendering: int) -> str:
    """Return the value of ``mpg.spec``: *rendering* is the version of how a spec becomes a container and files."""
    # A field that is not set has the digest of a spec of before there was such a field: no node is made anew for it.
    unset = {name for name in ("repository", "wal_mb") if getattr(spec, name) is None}
    unset.add("tls")  # files that a reload reads
    return hashlib.sha256(f"{rendering}\n{spec.model_dump_json(exclude=unset)}".encode()).hexdigest()[:16]


def has_digest(labels: Mapping[str, str], digest: str) -> bool:
    """Tell whether the container was made from what *digest* stands for."""
    return labels.get(LABEL_SPEC) == digest
