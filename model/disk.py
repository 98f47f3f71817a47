"""Whether a host's disk can hold what its clusters were promised. See docs/storage.md."""

from collections.abc import Iterable

from model.base import Record
from model.cluster import ClusterState
from model.errors import HostFull
from model.names import NODES
from model.storage import GB


class Promise(Record):
    """What a cluster may use of its host's disk, and what it does, in bytes, all nodes together."""

    cluster_id: str
    promised_bytes: int
    used_bytes: int = 0

    @property
    def outstanding_bytes(self) -> int:
        """What it may still take of what is free."""
        return max(0, self.promised_bytes - self.used_bytes)

    @classmethod
    def of(cls, state: ClusterState) -> "Promise":
        """Return what the cluster with this *state* was promised."""
        look = state.status.storage.look
        return cls(
            cluster_id=state.spec.id,
            promised_bytes=nodes_bytes(state.spec.storage_gb) + repository_bytes(state),
            used_bytes=sum(node.used_bytes for node in look.nodes) if look else 0,
        )


def nodes_bytes(storage_gb: int) -> int:
    """Return what a cluster's nodes may use with so much storage each."""
    return len(NODES) * storage_gb * GB


def repository_bytes(state: ClusterState) -> int:
    """Return what the cluster's backups may use of the same disk: nothing is promised to them yet."""
    return 0


def require_room(free_bytes: int, others: Iterable[Promise], wanted: Promise) -> None:
    """See that the disk can keep what *others* were promised and what is *wanted* beside.

    Raises :class:`HostFull` with the numbers.
    """
    promises = [each for each in others if each.cluster_id != wanted.cluster_id]
    outstanding = sum(each.outstanding_bytes for each in promises)
    if outstanding + wanted.outstanding_bytes <= free_bytes:
        return
    raise HostFull(
        f"The disk of the Docker engine has {free_bytes / GB:.1f} GB free. {_claimed(promises, outstanding)} The "
        f"cluster may need {wanted.outstanding_bytes / GB:.1f} GB more, all nodes together.",
        remedy="Ask for less storage, make room, or set MPG_ALLOW_STORAGE_OVERCOMMIT=true to promise more than there "
        "is.",
    )


def _claimed(promises: list[Promise], outstanding: int) -> str:
    if not promises:
        return "No other cluster has a claim to it."
    are = "Another cluster was" if len(promises) == 1 else f"{len(promises)} other clusters were"
    total = sum(each.promised_bytes for each in promises)
    return f"{are} promised {total / GB:.1f} GB here, of which {outstanding / GB:.1f} GB are not used yet."
