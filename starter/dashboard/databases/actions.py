"""What can be done to databases and their extensions."""

from model.cluster import ClusterView
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of

_ABOUT = Field("database", "Database", fixed=True)
_EXTENSION = Field("extension", "Extension", fixed=True)


async def _create(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.create_database(view.state.spec.id, given["database"], org=view.state.spec.org)


async def _delete(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    return await mpg.delete_database(spec.id, given["database"], force=bool(given["force"]), org=spec.org)


async def _enable(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    return await mpg.enable_extension(spec.id, given["database"], given["extension"], org=spec.org)


async def _disable(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec, force = view.state.spec, bool(given["force"])
    return await mpg.disable_extension(spec.id, given["database"], given["extension"], force=force, org=spec.org)


ACTIONS = (
    Action(
        name="create-database",
        tab="databases",
        title=lambda view, given: f"Create a database in {name_of(view)}",
        button="Create database",
        fields=(Field("database", "Name", hint="It cannot be changed later."),),
        effects=lambda view, given: (
            "The database is there for every user of the cluster; what they may do in it follows from their roles.",
        ),
        command=lambda view, given: ("databases", "create", name_of(view), "-n", given["database"] or "NAME"),
        start=_create,
    ),
    Action(
        name="delete-database",
        tab="databases",
        title=lambda view, given: f"Delete database {given['database']}",
        button="Delete database",
        danger=True,
        fields=(_ABOUT, Field("force", "End the sessions that are in it", checkbox=True)),
        effects=lambda view, given: (
            "All its data are removed, on both nodes. A backup made before still has them.",
            "While somebody is in it, this is refused unless their sessions may be ended.",
        ),
        command=lambda view, given: (
            "databases", "delete", name_of(view), "-n", given["database"],
            *(["--force"] if given["force"] else []), "--yes",
        ),
        start=_delete,
    ),
    Action(
        name="enable-extension",
        tab="databases",
        title=lambda view, given: f"Enable {given['extension']} in {given['database']}",
        button="Enable extension",
        fields=(_ABOUT, _EXTENSION),
        effects=lambda view, given: ("The extension is installed in this database. No session notices it.",),
        command=lambda view, given: (
            "databases", "extensions", "enable", name_of(view), given["extension"], "-d", given["database"],
        ),
        start=_enable,
    ),
    Action(
        name="disable-extension",
        tab="databases",
        title=lambda view, given: f"Disable {given['extension']} in {given['database']}",
        button="Disable extension",
        danger=True,
        fields=(_ABOUT, _EXTENSION, Field("force", "Also remove the objects that depend on it", checkbox=True)),
        effects=lambda view, given: (
            "The extension and its functions are removed from this database.",
            "While objects depend on it, such as columns of its types, this is refused unless they may be removed too.",
        ),
        command=lambda view, given: (
            "databases", "extensions", "disable", name_of(view), given["extension"], "-d", given["database"],
            *(["--force"] if given["force"] else []),
        ),
        start=_disable,
    ),
)  # fmt: skip
