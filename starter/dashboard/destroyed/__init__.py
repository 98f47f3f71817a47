"""Destroyed clusters whose backups are kept: until when, and getting one back as a new cluster."""

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import NotFound
from model.restore import KeptCluster, name_of_copy
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of
from starter.dashboard.backups.actions import named, said, utc
from starter.dashboard.page import render
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

PATH = "/destroyed"


@router.get(PATH)
async def list_destroyed(visit: Visiting) -> Response:
    """List what is kept."""
    found = await _kept(visit)
    return render(visit, "destroyed/page.html", kept=found, several=len({each.state.spec.org for each in found}) > 1)


async def kept(visit: Visit, cluster_id: str) -> ClusterView:
    """Return a destroyed cluster as it was last recorded. Raises NotFound where nothing is kept for the visitor."""
    for each in await _kept(visit):
        if each.state.spec.id == cluster_id:
            return ClusterView(state=each.state)
    raise NotFound(f"There is no cluster {cluster_id!r} of which backups are kept.")


async def _kept(visit: Visit) -> list[KeptCluster]:
    found = [each for org in await visit.organizations() for each in await visit.mpg.kept_clusters(org=org)]
    return [each for each in found if visit.caller.sees_cluster(each.state.spec.org, each.state.spec.id)]


async def _restore(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec, time = view.state.spec, utc(given["time"])
    return await mpg.restore_cluster(
        spec.id, pitr_time=time or None, latest=not time, name=given["name"] or None, org=spec.org
    )


def _effects(view: ClusterView, given: Given) -> list[str]:
    name = given["name"] or name_of_copy(name_of(view), "restored")
    when = said(given["time"]) or "the last moment that was archived"
    return [
        f"A new cluster, {name}, is made with all data, users and databases as of {when}.",
        "It has an id, addresses and passwords of its own. What is kept stays as long as it would have.",
    ]


ACTIONS = (
    Action(
        name="restore-destroyed",
        tab="",
        of_destroyed=True,
        makes_cluster=True,
        title=lambda view, given: f"Get {name_of(view)} back",
        button="Restore",
        fields=(
            Field("time", "Time in UTC", moment=True, hint="Left empty it is the cluster's end."),
            Field("name", "Name of the new cluster", hint="Left empty it is made from that one's."),
        ),
        effects=_effects,
        command=lambda view, given: (
            "restore", view.state.spec.id,
            *(("--pitr-time", utc(given["time"])) if given["time"] else ("--latest",)), *named(given),
        ),
        start=_restore,
    ),
)  # fmt: skip
