"""The same as an action, as a request of the HTTP API: a line for curl."""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from model.cluster import ClusterView, Tls
from model.operations import (
    DEFAULT_DAYS_KEPT,
    DestroyClusterRequest,
    GrowStorageRequest,
    OperationRequest,
    OptInRolesRequest,
    RestartRequest,
    SetAllowListRequest,
    SetBackupPolicyRequest,
    SetTlsRequest,
    VerifyBackupRequest,
)
from starter.dashboard.action import Given
from starter.dashboard.backups.actions import KEPT, utc
from starter.dashboard.settings.access_actions import difference


class HttpCall(NamedTuple):
    """A request: its method, its path and what it says, if anything."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    def as_curl(self, base: str) -> str:
        """Return the command that sends it to the API at *base* with a token of ``mpg auth token``."""
        words = ["curl", "-X", self.method, base.rstrip("/") + self.path]
        said = [] if self.body is None else ["--json", json.dumps(self.body)]
        # In double quotes: the shell puts the token in.
        return f'{shlex.join(words)} -H "Authorization: Bearer $FLY_ACCESS_TOKEN" {shlex.join(said)}'.rstrip()


def http_call(action: str, view: ClusterView, given: Given) -> HttpCall | None:
    """Return the request that does the same as *action* with what was *given*; None where the API has none for that."""
    return _CALLS[action](view, given)


def _of(view: ClusterView, *parts: str) -> str:
    return "/".join(["/api/v1/postgresv2", view.state.spec.id, *(quote(part, safe="") for part in parts)])


def _machines(view: ClusterView, *parts: str) -> str:
    return "/".join(["/v1/postgres", view.state.spec.id, *(quote(part, safe="") for part in parts)])


def _forced(path: str, given: Given) -> str:
    return f"{path}?force=true" if given["force"] else path


def _restore(view: ClusterView, given: Given) -> HttpCall:
    moment = {"backup_id": given["backup_id"]} if given["backup_id"] else {"pitr_time": utc(given["time"])}
    return HttpCall("POST", _of(view, "restore"), moment | _named(given))


def _restore_destroyed(view: ClusterView, given: Given) -> HttpCall | None:
    # The API asks for a moment.
    return _restore(view, {**given, "backup_id": ""}) if given["time"] else None


def _named(given: Given) -> dict[str, str]:
    return {"name": given["name"]} if given["name"] else {}


def number(text: str, unit: str) -> int | str:
    """Return the number that *text* is, or what it says, or *unit* in its place where nothing was said yet."""
    return int(text) if text.isdecimal() else text or unit


def _operation(view: ClusterView, kind: type[OperationRequest], **fields: Any) -> HttpCall:
    """Return the request for what has no route of its own."""
    return HttpCall("POST", _of(view, "operations"), {"operation": kind.operation, **fields})


def _auto_grow(view: ClusterView, given: Given) -> HttpCall:
    step = number(given["step_gb"], "GB")
    most = {"auto_grow_max_gb": number(given["max_gb"], "GB")} if step else {}
    return _operation(view, GrowStorageRequest, auto_grow_step_gb=step, **most)


def _set_allow_list(view: ClusterView, given: Given) -> HttpCall:
    add, remove = difference(view, given)
    return _operation(view, SetAllowListRequest, add=add, remove=remove)


def _set_schedule(view: ClusterView, given: Given) -> HttpCall:
    lines = {name: given[name] for name in ("full", "incr", "drill") if given[name]}
    kept = {name: number(given[name], "") for name in KEPT if given[name]}
    return _operation(view, SetBackupPolicyRequest, **lines, **kept)


def _verify(view: ClusterView, given: Given) -> HttpCall:
    return _operation(view, VerifyBackupRequest, **({"backup_id": given["backup_id"]} if given["backup_id"] else {}))


def _restart(view: ClusterView, given: Given) -> HttpCall:
    if given["node"]:
        return _operation(view, RestartRequest, node=given["node"])
    return HttpCall("POST", _of(view, "restart"))


def _destroy(view: ClusterView, given: Given) -> HttpCall:
    if given["keep_backups_days"] != str(DEFAULT_DAYS_KEPT):
        days = number(given["keep_backups_days"], "DAYS")
        return _operation(view, DestroyClusterRequest, keep_backups_days=days)
    spec = view.state.spec
    return HttpCall("DELETE", f"/api/v1/organizations/{quote(spec.org, safe='')}/postgresv2/{spec.id}")


_CALLS: Mapping[str, Callable[[ClusterView, Given], HttpCall | None]] = {
    "create-user": lambda view, given: HttpCall(
        "POST", _of(view, "users"), {"username": given["username"] or "NAME", "role": given["role"]}
    ),
    "restore-destroyed": _restore_destroyed,
    "set-role": lambda view, given: HttpCall("PATCH", _of(view, "users", given["username"]), {"role": given["role"]}),
    "rotate-password": lambda view, given: HttpCall(
        "POST", _machines(view, "users", given["username"], "rotate_password"), {}
    ),
    "delete-user": lambda view, given: HttpCall("DELETE", _of(view, "users", given["username"])),
    "create-database": lambda view, given: HttpCall(
        "POST", _of(view, "databases"), {"name": given["database"] or "NAME"}
    ),
    "delete-database": lambda view, given: HttpCall(
        "DELETE", _forced(_machines(view, "databases", given["database"]), given)
    ),
    "enable-extension": lambda view, given: HttpCall(
        "POST", _of(view, "databases", given["database"], "extensions"), {"name": given["extension"]}
    ),
    "disable-extension": lambda view, given: HttpCall(
        "DELETE", _forced(_of(view, "databases", given["database"], "extensions", given["extension"]), given)
    ),
    "change-plan": lambda view, given: HttpCall("PATCH", _of(view), {"plan": given["plan"]}),
    "set-pool-mode": lambda view, given: HttpCall("PATCH", _of(view), {"pool_mode": given["pool_mode"]}),
    "set-durability": lambda view, given: HttpCall("PATCH", _of(view), {"durability": given["durability"]}),
    "grow-storage": lambda view, given: HttpCall(
        "PATCH", _of(view), {"storage_in_gb": number(given["storage_gb"], "GB")}
    ),
    "auto-grow": _auto_grow,
    "set-tls": lambda view, given: _operation(view, SetTlsRequest, required=given["tls"] == Tls.REQUIRED.value),
    "set-allow-list": _set_allow_list,
    "opt-in-roles": lambda view, given: _operation(view, OptInRolesRequest),
    "restart": _restart,
    "switchover": lambda view, given: HttpCall("POST", _of(view, "switchover")),
    "destroy": _destroy,
    "back-up": lambda view, given: HttpCall("POST", _machines(view, "backups"), {"type": given["type"]}),
    "verify": _verify,
    "schedule": _set_schedule,
    "restore": _restore,
    "restore-to-time": _restore,
    "fork": lambda view, given: HttpCall("POST", _machines(view, "fork"), _named(given)),
}
