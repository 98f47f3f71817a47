"""One request: who asks, of which stack, about what. Everything that is looked up passes here."""

from typing import Annotated

from fastapi import Depends, Header, Request

from model import names
from model.cluster import ClusterPhase, ClusterView
from model.errors import InvalidInput, NotFound
from model.settings import Settings
from model.validation import checked
from starter.client import MpgClient
from starter.tokens.caller import Caller

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 64 letters, digits and . _ : - : a repeat with the same key and body is answered as the "
        "first call was; with another body it is refused with 422.",
    ),
]


class Call:
    """What a handler is given. Nothing that the caller's token does not cover can be reached through it."""

    def __init__(self, mpg: MpgClient, caller: Caller, key: str | None) -> None:
        """Serve *caller* with *mpg*; *key* is the request's Idempotency-Key."""
        self.mpg = mpg.acting_as(caller.actor)
        self.caller = caller
        self.key = key if key is None else checked(names.check_request_id, key)

    @property
    def settings(self) -> Settings:
        """The settings of the stack."""
        return self.mpg.settings

    def request_id(self, org: str) -> str | None:
        """Return the request id for an operation in *org*: the key, so that Temporal recognises a repeat."""
        return self.key and names.request_id_in(org, self.key)

    async def organization(self, slug: str) -> str:
        """Return *slug* if there is such an organization for the caller. Raises NotFound."""
        if self.caller.sees_organization(slug) and _is_slug(slug) and await self.mpg.has_organization(slug):
            return slug
        raise NotFound(f"There is no organization {slug!r}.")

    async def organizations(self) -> list[str]:
        """Return the organizations that there are for the caller."""
        return [slug for slug in await self.mpg.organizations() if self.caller.sees_organization(slug)]

    async def view(self, cluster: str, *, org: str | None = None, destroyed: bool = False) -> ClusterView:
        """Return what is recorded of *cluster*, an id, or a name in *org* or else the default organization.

        Raises NotFound where there is none for the caller, and, unless *destroyed*, where it was destroyed.
        """
        found = await self._find(cluster, org)
        if found is None or not self._sees(found) or (org is not None and found.state.spec.org != org):
            raise NotFound(f"There is no cluster {cluster!r}.")
        if found.state.status.phase is ClusterPhase.DESTROYED and not destroyed:
            raise NotFound(f"Cluster {cluster!r} was destroyed.")
        return found

    async def clusters(self, org: str) -> list[ClusterView]:
        """Return the living clusters of *org* that there are for the caller, by name."""
        return [view for view in await self.mpg.clusters(org=org) if self._sees(view)]

    async def deleted_clusters(self, org: str) -> list[ClusterView]:
        """Return the destroyed clusters of *org* that there were for the caller."""
        return [view for view in await self.mpg.deleted_clusters(org=org) if self._sees(view)]

    def sees_passwords(self, view: ClusterView) -> bool:
        """Tell whether the caller may know passwords of that cluster."""
        return self.caller.sees_passwords(view.state.spec.org, view.state.spec.id)

    def _sees(self, view: ClusterView) -> bool:
        return self.caller.sees_cluster(view.state.spec.org, view.state.spec.id)

    async def _find(self, cluster: str, org: str | None) -> ClusterView | None:
        if (found := await self.mpg.find(cluster)) is not None:
            return found
        try:
            return await self.mpg.view(cluster, org=org or names.DEFAULT_ORG)
        except (NotFound, InvalidInput):
            return None


def _is_slug(slug: str) -> bool:
    try:
        names.check_org(slug)
    except ValueError:
        return False
    return True


async def _call(request: Request, key: IdempotencyKey = None) -> Call:
    return Call(request.app.state.mpg, request.state.caller, key)


Asked = Annotated[Call, Depends(_call)]
