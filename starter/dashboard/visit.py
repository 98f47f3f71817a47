"""One request of somebody who is signed in: all that handlers know of the stack, they know through it."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from model.cluster import ClusterPhase, ClusterView
from model.errors import InvalidInput, NotFound, Refused
from model.operations import OPERATIONS, OperationOutcome
from model.settings import Settings
from starter.client import MpgClient
from starter.client.listing import ClusterRow
from starter.client.operation import Operation
from starter.client.shapes import OperationShape
from starter.dashboard import forms, session
from starter.dashboard.forms import Form
from starter.dashboard.session import Session
from starter.tokens.caller import Caller


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Visit:
    """A request, who makes it, and what they may see. Nothing that their token does not cover is reached through it."""

    def __init__(self, request: Request, mpg: MpgClient, visitor: Session) -> None:
        """Serve *request* of *visitor* with *mpg*."""
        self.request = request
        self.mpg = mpg.acting_as(visitor.caller.actor)
        self.session = visitor

    @property
    def settings(self) -> Settings:
        """The settings of the stack."""
        return self.mpg.settings

    @property
    def caller(self) -> Caller:
        """What the visitor may do."""
        return self.session.caller

    @property
    def may_change(self) -> bool:
        """Tell whether the visitor may do more than read."""
        return self.caller.for_changes() is not None

    @property
    def by_htmx(self) -> bool:
        """Tell whether a part of a page is asked for, and not a page."""
        return "hx-request" in self.request.headers

    @property
    def only_head(self) -> bool:
        """Tell whether of a cluster's page only the head is asked for anew, since something happened to the cluster."""
        return self.request.headers.get("hx-target") == "live-head"

    async def form(self) -> Form:
        """Return what was sent, by somebody who may change something. Raises Refused, InvalidInput."""
        sent = await forms.read(self.request, self.session)
        if not self.may_change:
            raise Refused("You are signed in for reading only.")
        return sent

    async def organizations(self) -> list[str]:
        """Return the organizations that the visitor sees."""
        return [slug for slug in await self.mpg.organizations() if self.caller.sees_organization(slug)]

    async def rows(self, *, wrong: bool = False) -> list[ClusterRow]:
        """Return the living clusters that the visitor sees, as lists show them, by name; *wrong*: needing somebody."""
        found = await self.mpg.cluster_rows(wrong=wrong)
        return [row for row in found if self.caller.sees_cluster(row.org, row.id)]

    async def operations(
        self,
        limit: int,
        *,
        types: Collection[str] = OPERATIONS,
        outcome: OperationOutcome | None = None,
        ended_before: datetime | None = None,
    ) -> list[OperationShape]:
        """Return at most *limit* operations on clusters that the visitor sees: what runs, then what ended last."""

        async def of(org: str, cluster_id: str | None) -> list[OperationShape]:
            return await self.mpg.operations_of(
                cluster_id, org=org, limit=limit, types=types, outcome=outcome, ended_before=ended_before
            )

        looks = [(org, cluster) for org in await self.organizations() for cluster in self._clusters_of(org)]
        found = [each for part in await asyncio.gather(*(of(*look) for look in looks)) for each in part]
        return sorted(found, key=_latest, reverse=True)[:limit]

    def _clusters_of(self, org: str) -> Collection[str | None]:
        """Return the ids of the clusters of *org* that there are for the visitor; None in it stands for all."""
        limited = self.caller.clusters_of(org)
        return (None,) if limited is None else limited

    async def cluster(self, cluster_id: str) -> ClusterView:
        """Return a living cluster. Raises NotFound where there is none for the visitor."""
        view = await self.mpg.find(cluster_id)
        if view is None or not self.sees(view):
            raise NotFound(f"There is no cluster {cluster_id!r}.")
        if view.state.status.phase is ClusterPhase.DESTROYED:
            raise NotFound(f"Cluster {view.state.spec.name} was destroyed.")
        return view

    async def operation(self, operation_id: str) -> tuple[Operation, OperationShape]:
        """Return an operation on a cluster that the visitor sees. Raises NotFound."""
        handle = self.mpg.operation(operation_id)
        try:
            shape = await handle.describe()
            org = await handle.organization()
        except (NotFound, InvalidInput):
            raise _unknown(operation_id) from None
        if not self.caller.sees_cluster(org, shape.cluster_id):
            raise _unknown(operation_id)
        return handle, shape

    def sees(self, view: ClusterView) -> bool:
        """Tell whether there is that cluster for the visitor."""
        return self.caller.sees_cluster(view.state.spec.org, view.state.spec.id)

    def sees_passwords(self, view: ClusterView) -> bool:
        """Tell whether the visitor may know passwords of that cluster."""
        return self.caller.sees_passwords(view.state.spec.org, view.state.spec.id)


def _latest(shape: OperationShape) -> tuple[bool, float]:
    moment = shape.finished_at or shape.started_at
    return shape.finished_at is None, moment.timestamp() if moment else 0


def _unknown(operation_id: str) -> NotFound:
    return NotFound(f"There is no operation {operation_id!r}.")


async def _visit(request: Request) -> Visit:
    found = session.find(request, request.app.state.keyring)
    if found is None:
        raise SignInNeeded
    return Visit(request, request.app.state.mpg, found)


Visiting = Annotated[Visit, Depends(_visit)]
