"""The same as what pages do that is no action, for whoever would rather say it: command lines, and requests."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from model.cluster import ClusterView
from model.names import DEFAULT_ORG
from model.operations import HEALING
from starter.client.connection import EndpointKind
from starter.client.shapes import OperationShape
from starter.dashboard.action import Given, command_line
from starter.dashboard.calls import HttpCall, number

_ENDPOINT = {EndpointKind.POOLED: (), EndpointKind.DIRECT: ("--direct",), EndpointKind.READ_ONLY: ("--read-only",)}


class Same(NamedTuple):
    """Command lines, and the requests of the HTTP API that do the same, if any. Each is shown to be copied alone."""

    commands: Sequence[str]
    calls: Sequence[HttpCall] = ()

    def curls(self, base: str) -> list[str]:
        """Return the requests to the API at *base* as command lines."""
        return [call.as_curl(base) for call in self.calls]


def connecting(view: ClusterView, user: str, database: str, kind: EndpointKind, *, verify: bool) -> Same:
    """Return what prints a connection string. Over HTTP there is none with which certificates are verified."""
    verified = ("--verify-full",) if verify else ()
    words = ["url", view.state.spec.name, "-u", user, "-d", database, *_ENDPOINT[kind], *verified]
    query = urlencode({"user": user, "database": database, "kind": kind.value})
    call = HttpCall("GET", f"/api/v1/postgresv2/{view.state.spec.id}/connection?{query}")
    return Same([command_line(view, words)], () if verify else [call])


def creating(given: Given) -> Same:
    """Return what makes a cluster of what the form holds."""
    name = given["name"] or "NAME"
    words = ["mpg", "create", "--name", name, "--plan", given["plan"], "--volume-size", given["storage_gb"] or "GB"]
    words += ["--pg-major-version", given["pg_major_version"]]
    words += ["--pool-mode", given["pool_mode"], "--durability", given["durability"]]
    words += ["--enable-postgis-support"] if given["postgis_enabled"] else []
    words += [] if given["org"] == DEFAULT_ORG else ["--org", given["org"]]
    body = {
        "name": name,
        "plan": given["plan"],
        "storage_in_gb": number(given["storage_gb"], "GB"),
        "pg_major_version": number(given["pg_major_version"], ""),
        "pool_mode": given["pool_mode"],
        "durability": given["durability"],
        "postgis_enabled": bool(given["postgis_enabled"]),
    }
    path = f"/api/v1/organizations/{quote(given['org'], safe='')}/postgresv2"
    return Same([shlex.join(words)], [HttpCall("POST", path, body)])


def operating(operation: OperationShape) -> Same:
    """Return what shows an operation, ends it and begins it again."""
    path = f"/api/v1/operations/{quote(operation.id)}"
    ways = {"show": HttpCall("GET", path), "cancel": HttpCall("DELETE", path)}
    if operation.type not in HEALING:
        ways["retry"] = HttpCall("POST", f"{path}/retry")
    return Same([shlex.join(["mpg", "operations", verb, operation.id]) for verb in ways], list(ways.values()))


def signalling(view: ClusterView) -> Same:
    """Return what cancels what a session runs, and what ends it. Over HTTP there is nothing for that."""
    name = view.state.spec.name
    return Same(
        [
            command_line(view, ["queries", "cancel", name, "PID"]),
            command_line(view, ["queries", "end", name, "PID", "--yes"]),
        ]
    )
