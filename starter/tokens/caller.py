"""Who asks: what the tokens of one request allow together."""

from dataclasses import dataclass

from starter.tokens.grants import Grant


@dataclass(frozen=True)
class Caller:
    """The holder of one or more valid tokens. What any of them allows is allowed."""

    grants: tuple[Grant, ...]

    @property
    def actor(self) -> str:
        """Who it is for logs and records: an id, nothing that lets anybody in."""
        return f"token/{self.grants[0].token_id}"

    def for_changes(self) -> "Caller | None":
        """Return the caller with those tokens only that allow changes, None when there is none."""
        writing = tuple(grant for grant in self.grants if not grant.read_only)
        return Caller(writing) if writing else None

    def sees_organization(self, slug: str) -> bool:
        """Tell whether the organization exists for the caller."""
        return any(grant.covers_organization(slug) for grant in self.grants)

    def sees_cluster(self, slug: str, cluster_id: str) -> bool:
        """Tell whether that cluster of organization *slug* exists for the caller."""
        return any(grant.covers_cluster(slug, cluster_id) for grant in self.grants)

    def clusters_of(self, slug: str) -> frozenset[str] | None:
        """Return the ids of the clusters of organization *slug* that there may be for the caller; None for all."""
        allowed = [grant.clusters for grant in self.grants if grant.covers_organization(slug)]
        limited = [clusters for clusters in allowed if clusters is not None]
        return frozenset[str]().union(*limited) if len(limited) == len(allowed) else None

    def sees_passwords(self, slug: str, cluster_id: str) -> bool:
        """Tell whether the caller may know the passwords of a cluster's users: who may only read may not."""
        return any(grant.covers_cluster(slug, cluster_id) and not grant.read_only for grant in self.grants)

    def sees_secrets(self, slug: str) -> bool:
        """Tell whether the caller may know secrets of an organization: only who may change all of it."""
        return any(
            grant.covers_organization(slug) and grant.clusters is None and not grant.read_only for grant in self.grants
        )

    def may_create(self, slug: str) -> bool:
        """Tell whether the caller may make clusters in an organization that it sees."""
        return any(grant.covers_organization(slug) and grant.clusters is None for grant in self.grants)
