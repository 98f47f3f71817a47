"""What a token allows: its caveats, read and written here only."""

from collections.abc import Iterable
from enum import IntEnum

from model.base import Record
from starter.tokens.macaroon import Caveat, Macaroon

_OURS = 2**48
"""Where the types begin that Fly leaves to others."""


class CaveatType(IntEnum):
    """The types of caveats that are understood; any other is refused."""

    VALIDITY = 4
    """``[not_before, not_after]`` in Unix seconds: Fly's own type, which its client reads too."""
    READ_ONLY = _OURS + 1
    """``[]``: nothing may be changed, and no password is shown."""
    ORGANIZATION = _OURS + 2
    """``[slug]``: every other organization is as if it were not there."""
    CLUSTER = _OURS + 3
    """``[id]``: every other cluster is as if it were not there, and none can be created."""


class UnknownCaveat(ValueError):
    """A caveat is not understood, so that nobody can say what the token allows."""


class Grant(Record):
    """What one token allows. None stands for all there are; an empty set for none."""

    token_id: str
    read_only: bool = False
    organizations: frozenset[str] | None = None
    clusters: frozenset[str] | None = None
    not_before: int | None = None
    not_after: int | None = None
    """Unix seconds, both included."""

    def covers_organization(self, slug: str) -> bool:
        """Tell whether the organization exists for the holder."""
        return self.organizations is None or slug in self.organizations

    def covers_cluster(self, slug: str, cluster_id: str) -> bool:
        """Tell whether that cluster of organization *slug* exists for the holder."""
        return self.covers_organization(slug) and (self.clusters is None or cluster_id in self.clusters)

    def holds_at(self, now: float) -> bool:
        """Tell whether *now*, in Unix seconds, is in the window."""
        begun = self.not_before is None or self.not_before <= now
        return begun and (self.not_after is None or now <= self.not_after)


def validity(not_before: int, not_after: int) -> Caveat:
    """Return the caveat of an expiry, in Unix seconds."""
    return Caveat.of(CaveatType.VALIDITY, [not_before, not_after])


def read_only() -> Caveat:
    """Return the caveat that allows reading only."""
    return Caveat.of(CaveatType.READ_ONLY, [])


def only_organization(slug: str) -> Caveat:
    """Return the caveat for one organization."""
    return Caveat.of(CaveatType.ORGANIZATION, [slug])


def only_cluster(cluster_id: str) -> Caveat:
    """Return the caveat for one cluster."""
    return Caveat.of(CaveatType.CLUSTER, [cluster_id])


def grant_of(macaroon: Macaroon) -> Grant:
    """Return what *macaroon* allows: what all of its caveats allow together.

    Raises :class:`UnknownCaveat` for a type, or a body of a known type, that is not understood.
    """
    grant = Grant(token_id=macaroon.id)
    for caveat in macaroon.caveats:
        grant = _narrowed(grant, caveat)
    return grant


def _narrowed(grant: Grant, caveat: Caveat) -> Grant:
    match caveat.type, caveat.body:
        case CaveatType.VALIDITY, [int() as not_before, int() as not_after]:
            begin = max(not_before, not_before if grant.not_before is None else grant.not_before)
            end = min(not_after, not_after if grant.not_after is None else grant.not_after)
            return grant.model_copy(update={"not_before": begin, "not_after": end})
        case CaveatType.READ_ONLY, []:
            return grant.model_copy(update={"read_only": True})
        case CaveatType.ORGANIZATION, [str() as slug]:
            return grant.model_copy(update={"organizations": _both(grant.organizations, [slug])})
        case CaveatType.CLUSTER, [str() as cluster_id]:
            return grant.model_copy(update={"clusters": _both(grant.clusters, [cluster_id])})
        case _:
            raise UnknownCaveat(f"caveat of type {caveat.type}")


def _both(allowed: frozenset[str] | None, also: Iterable[str]) -> frozenset[str]:
    return frozenset(also) if allowed is None else allowed & frozenset(also)
