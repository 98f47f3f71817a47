"""Who may connect to a cluster, and how: its allow list, and TLS."""

from model.cluster import ClusterView, Tls
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of

_TLS = (
    (Tls.OFFERED.value, "offered: plain and encrypted connections"),
    (Tls.REQUIRED.value, "required: encrypted connections only"),
)
_OPEN_STAY = "Open connections stay as they are. Nothing is restarted and nobody waits."


async def _set_tls(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    return await mpg.set_tls(spec.id, required=given["tls"] == Tls.REQUIRED.value, org=spec.org)


async def _set_allow_list(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    add, remove = difference(view, given)
    return await mpg.set_allow_list(spec.id, add=add, remove=remove, org=spec.org)


def difference(view: ClusterView, given: Given) -> tuple[list[str], list[str]]:
    """Return what is on the list that was entered and not on the one that was shown, and the other way round.

    Not the cluster's of now: what somebody else added meanwhile is not to go.
    """
    entered, listed = given["networks"].replace(",", " ").split(), given["shown"].split()
    return [each for each in entered if each not in listed], [each for each in listed if each not in entered]


def _allow_list_command(view: ClusterView, given: Given) -> tuple[str, ...]:
    add, remove = difference(view, given)
    options = [*(("--add", each) for each in add), *(("--remove", each) for each in remove)]
    return ("allow-list", name_of(view), *(word for option in options for word in option))


ACTIONS = (
    Action(
        name="set-tls",
        tab="settings",
        title=lambda view, given: f"Change TLS of {name_of(view)}",
        button="Update TLS",
        fields=(Field("tls", "TLS", default=Tls.OFFERED.value, choices=_TLS),),
        effects=lambda view, given: (
            "New connections that are not encrypted are refused."
            if given["tls"] == Tls.REQUIRED.value
            else "New connections are encrypted where the client wants it, and plain ones are taken.",
            _OPEN_STAY,
        ),
        command=lambda view, given: (
            "tls", name_of(view), "--require" if given["tls"] == Tls.REQUIRED.value else "--offer",
        ),
        start=_set_tls,
    ),
    Action(
        name="set-allow-list",
        tab="settings",
        title=lambda view, given: f"Change who may connect to {name_of(view)}",
        button="Update Allow List",
        fields=(
            Field(
                "networks",
                "Networks",
                hint="IPv4 networks or addresses with spaces between, such as 192.0.2.0/24 198.51.100.7. "
                "Left empty everybody may connect.",
            ),
            Field("shown", "Networks until now", fixed=True),
        ),
        effects=lambda view, given: (
            "New connections are taken from these networks only; whoever is refused is named in the worker's log.",
            _OPEN_STAY,
        ),
        command=_allow_list_command,
        start=_set_allow_list,
    ),
)  # fmt: skip
