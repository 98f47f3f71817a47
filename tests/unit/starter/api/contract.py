"""The wire contract of Fly's client as tables: what is sent, the status, and the fields of what is answered."""

from collections.abc import Iterable
from typing import NamedTuple

from model.errors import AlreadyExists, InvalidInput, NotFound, Refused, StackDown, Unconfirmed
from model.queries import StatementPlan
from starter.client.metric_shapes import MetricsShape
from starter.client.shapes import BackupShape
from tests.unit.starter.api.stub_service import BACKUP, GONE_ID, ID, NAME

ORG = "/api/v1/organizations/personal"
REST = f"/api/v1/postgresv2/{ID}"
MACHINES = f"/v1/postgres/{ID}"
NONE = "0" * 16

CLUSTER = {
    "id", "name", "status", "engine", "plan", "region", "organization", "mpgd_cluster_id", "version", "disk",
    "replicas", "ip_assignments", "attached_apps", "storage_used_bytes", "storage_provisioned_bytes",
}  # fmt: skip
CREATED = {
    "id", "name", "status", "plan", "environment", "region", "organization", "replicas", "disk", "ip_assignments",
    "postgis_enabled",
}  # fmt: skip
MACHINE = {
    "id", "name", "status", "region", "plan", "disk_size_gb", "cpus", "cpu_kind", "memory_mb", "replicas",
    "pg_major_version", "postgis_enabled", "created_at", "attached_apps", "endpoints", "organization",
}  # fmt: skip
SUMMARY = {"id", "name", "status", "region", "plan", "created_at", "attached_apps"}
DETAIL = {
    "id", "internal_numeric_id", "slug", "raw_slug", "name", "paid_plan", "personal", "billable", "billing_status",
    "provisions_beta_extensions", "remote_builder_image",
}  # fmt: skip
REGION = {
    "code", "name", "latitude", "longitude", "gateway_available", "requires_paid_plan", "deprecated", "geo_region",
    "capacity", "mpg_available",
}  # fmt: skip
OPERATION = {"id", "type", "cluster_id", "status", "phase", "steps", "started_at", "finished_at", "error"}
USER, ROLE = {"username": "ben", "role": "writer"}, {"role": "reader"}
CREATION = {
    "name": NAME,
    "region": "local",
    "org_slug": "personal",
    "plan": "Basic",
    "pg_major_version": "17",
    "storage_in_gb": 10,
    "postgis_enabled": False,
}
MACHINE_CREATION = {"org_slug": "personal", "plan": "BASIC", "region": "local", "name": NAME, "disk_size_gb": 10}


class Row(NamedTuple):
    """A request, and what is answered: the fields found *under* a path of the document, or of its first element."""

    method: str
    path: str
    body: object
    status: int
    under: str = ""
    fields: Iterable[str] = ()


SUCCESSES = [
    # REST
    Row("GET", f"{ORG}/postgres", None, 200, "data", CLUSTER),
    Row("GET", f"{ORG}/postgres/deleted", None, 200, "data", CLUSTER | {"restorable_until"}),
    Row("GET", f"{ORG}/postgresv2/regions", None, 200, "data", {"code", "available"}),
    Row("POST", f"{ORG}/postgresv2", CREATION, 201, "data", CREATED),
    Row("GET", f"{ORG}/postgresv2/{ID}", None, 200, "data", CLUSTER),
    Row("GET", REST, None, 200, "data", CLUSTER),
    Row("GET", REST, None, 200, "credentials", {"status", "user", "password", "dbname", "pgbouncer_uri"}),
    Row("DELETE", f"{ORG}/postgresv2/{ID}", None, 202, "data", OPERATION),
    Row("GET", f"{REST}/users", None, 200, "data", {"name", "role"}),
    Row("POST", f"{REST}/users", USER, 201, "data", {"name", "role"}),
    Row("PATCH", f"{REST}/users/app", ROLE, 200, "data", {"name", "role"}),
    Row("DELETE", f"{REST}/users/app", None, 204),
    Row("GET", f"{REST}/databases", None, 200, "data", {"name"}),
    Row("POST", f"{REST}/databases", {"name": "shop"}, 201, "data", {"name"}),
    Row(
        "GET", f"{REST}/databases/fly-db/extensions", None, 200, "data",
        {"name", "description", "docs_url", "reach", "default_version", "is_system", "installed"},
    ),
    Row("GET", f"{REST}/databases/fly-db/extensions", None, 200, "data.0.installed", {"version", "schema"}),
    Row(
        "POST", f"{REST}/databases/fly-db/extensions", {"name": "vector", "create_schema_if_needed": False}, 201,
        "data",
        {"name", "description", "docs_url", "reach", "default_version", "is_system", "installed"},
    ),
    Row("DELETE", f"{REST}/databases/fly-db/extensions/hstore", None, 204),
    Row("DELETE", f"{REST}/databases/fly-db/extensions/hstore?force=true", None, 204),
    Row(
        "GET", f"{REST}/backups", None, 200, "data",
        set(BackupShape.model_fields),
    ),
    Row("POST", f"{REST}/backups", {"type": "incr"}, 202, "data", OPERATION),
    Row("POST", f"{REST}/restore", {"backup_id": BACKUP.id}, 201, "data", CLUSTER),
    Row("POST", f"{REST}/restore", {"pitr_time": "2026-11-28T17:05:00Z", "name": "then"}, 201, "data", CLUSTER),
    Row(
        "POST", f"{REST}/attachments", {"app_name": "web"}, 201, "data",
        {"id", "app_id", "managed_service_id", "attached_at"},
    ),
    Row("DELETE", f"{REST}/attachments/web", None, 200, "data", {"message"}),
    Row("GET", f"/api/v1/postgres/{ID}", None, 200, "data", CLUSTER),
    Row("GET", ORG, None, 200, "organization", DETAIL),
    Row("GET", "/api/v1/organizations?admin=false", None, 200, "organizations", DETAIL),
    # this project's own
    Row("PATCH", REST, {"plan": "Starter"}, 202, "data", OPERATION),
    Row("PATCH", REST, {"pool_mode": "session"}, 202, "data", OPERATION),
    Row("PATCH", REST, {"storage_in_gb": 20}, 202, "data", OPERATION),
    Row("POST", f"{REST}/restart", None, 202, "data", OPERATION),
    Row("POST", f"{REST}/switchover", None, 202, "data", OPERATION),
    Row("GET", f"{REST}/operations", None, 200, "data", OPERATION),
    Row("GET", f"{REST}/operations/change-plan/orders/1", None, 200, "data", OPERATION),
    Row("GET", "/api/v1/operations/change-plan/orders/1", None, 200, "data", OPERATION),
    Row("DELETE", "/api/v1/operations/change-plan/orders/1", None, 202, "data", OPERATION),
    Row("GET", f"{REST}/nodes", None, 200, "data"),
    Row("GET", f"{REST}/metrics?range=30d&database=fly-db", None, 200, "data", set(MetricsShape.model_fields)),
    Row("GET", f"{REST}/queries/-42/plan?user=app", None, 200, "data", set(StatementPlan.model_fields)),
    # Machines
    Row("GET", "/v1/platform/regions", None, 200, "regions", REGION),
    Row("GET", "/v1/platform/regions", None, 200, "", {"regions", "nearest"}),
    Row("GET", "/v1/postgres?org_slug=personal", None, 200, "data", SUMMARY),
    Row("GET", "/v1/postgres?org_slug=personal&include_deleted=true", None, 200, "data.1", SUMMARY | {"deleted_at"}),
    Row("POST", "/v1/postgres", MACHINE_CREATION, 201, "data", MACHINE),
    Row("GET", MACHINES, None, 200, "data", MACHINE),
    Row("DELETE", MACHINES, None, 202, "data", OPERATION),
    Row("GET", f"{MACHINES}/users", None, 200, "data", {"username", "role"}),
    Row("POST", f"{MACHINES}/users", USER, 201, "data", {"username", "role"}),
    Row("PATCH", f"{MACHINES}/users/app", ROLE, 204),
    Row("DELETE", f"{MACHINES}/users/app", None, 204),
    Row("GET", f"{MACHINES}/databases", None, 200, "data", {"name"}),
    Row("POST", f"{MACHINES}/databases", {"name": "shop"}, 201, "data", {"name"}),
    Row("DELETE", f"{MACHINES}/databases/shop", None, 204),
    Row(
        "GET", f"{MACHINES}/databases/fly-db/extensions", None, 200, "",
        {"name", "description", "default_version", "system", "installed"},
    ),
    Row("POST", f"{MACHINES}/databases/fly-db/extensions", {"name": "vector", "create_schema": True}, 204),
    Row("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore", None, 204),
    Row("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore?force", None, 204),
    Row("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore?force=true", None, 204),
    Row(
        "GET", f"{MACHINES}/backups", None, 200, "",
        {"id", "status", "type", "started_at", "finished_at", "size_bytes"},
    ),
    Row("POST", f"{MACHINES}/backups", {"type": "diff"}, 202, "data", OPERATION),
    Row("POST", f"{MACHINES}/restore", {"backup_id": BACKUP.id, "name": "then"}, 201, "data", MACHINE),
    Row("POST", f"{MACHINES}/fork", {"name": "copy"}, 201, "data", MACHINE),
    Row("POST", f"{MACHINES}/fork", None, 201, "data", MACHINE),
    Row(
        "POST", f"{MACHINES}/attachments", {"app_name": "web"}, 201, "data",
        {"app_name", "attached_at", "postgres_cluster_id"},
    ),
    Row("DELETE", f"{MACHINES}/attachments/web", None, 204),
]  # fmt: skip

NO_SUCH = [
    # 404: REST says it of what was destroyed as well
    *(Row("GET", f"/api/v1/postgresv2/{each}", None, 404) for each in (NONE, GONE_ID)),
    Row("GET", f"{ORG}/postgresv2/{NONE}", None, 404),
    Row("GET", f"/api/v1/postgres/{NONE}", None, 404),
    Row("DELETE", f"{ORG}/postgresv2/{NONE}", None, 404),
    Row("PATCH", f"/api/v1/postgresv2/{NONE}", {"plan": "starter"}, 404),
    *(
        Row(method, f"/api/v1/postgresv2/{NONE}/{what}", body, 404)
        for method, what, body in (
            ("GET", "users", None), ("POST", "users", USER), ("PATCH", "users/app", ROLE),
            ("DELETE", "users/app", None), ("GET", "users/app/credentials", None), ("GET", "databases", None),
            ("POST", "databases", {"name": "shop"}), ("GET", "databases/fly-db/extensions", None),
            ("GET", "backups", None), ("POST", "backups", {"type": "full"}), ("POST", "restore", {"backup_id": "x"}),
            ("POST", "attachments", {"app_name": "web"}), ("POST", "restart", None), ("POST", "switchover", None),
            ("GET", "operations", None), ("GET", "nodes", None), ("GET", "metrics", None),
            ("GET", "queries/42/plan", None),
            ("POST", "operations", {"operation": "Restart"}),
        )
    ),
    Row("GET", f"{REST}/databases/none/extensions", None, 404),
    Row("GET", f"{REST}/metrics?database=none", None, 404),
    Row("GET", f"{REST}/queries/42/plan?database=none", None, 404),
    *(Row("GET", f"/api/v1/organizations/nobody{each}", None, 404) for each in ("", "/postgres", "/postgres/deleted")),
    Row("GET", "/api/v1/organizations/nobody/postgresv2/regions", None, 404),
    Row("POST", "/api/v1/organizations/nobody/postgresv2", CREATION, 404),
]  # fmt: skip
OF_MACHINES = [
    ("GET", "", None), ("DELETE", "", None), ("GET", "/users", None), ("POST", "/users", USER),
    ("PATCH", "/users/app", ROLE), ("DELETE", "/users/app", None), ("GET", "/users/app/credentials", None),
    ("POST", "/users/app/rotate_password", {"kill_sessions": True}), ("GET", "/databases", None),
    ("POST", "/databases", {"name": "shop"}), ("DELETE", "/databases/shop", None),
    ("GET", "/databases/fly-db/extensions", None), ("POST", "/databases/fly-db/extensions", {"name": "vector"}),
    ("DELETE", "/databases/fly-db/extensions/hstore", None), ("GET", "/backups", None),
    ("POST", "/backups", {"type": "full"}), ("POST", "/fork", None), ("POST", "/attachments", {"app_name": "web"}),
    ("DELETE", "/attachments/web", None),
]  # fmt: skip
"""Routes under a cluster, which all answer 404 for one that is not there, and 410 for one that was deleted."""
BAD = [
    Row("GET", f"{REST}/metrics?range=1y", None, 422),
    Row("GET", f"{REST}/queries/SELECT/plan", None, 422),
    Row("POST", f"{MACHINES}/users", {"username": "postgres", "role": "reader"}, 400),
    Row("POST", f"{MACHINES}/users", {"username": "ben", "role": "king"}, 422),
    Row("POST", f"{MACHINES}/users", {"role": "reader"}, 422),
    Row("POST", f"{MACHINES}/databases", {"name": "postgres"}, 400),
    Row("POST", f"{MACHINES}/databases", {"name": "a b"}, 400),
    Row("POST", f"{MACHINES}/databases", {}, 422),
    Row("DELETE", f"{MACHINES}/databases/fly-db/extensions/plpgsql", None, 400),
    Row("POST", f"{MACHINES}/restore", {}, 422),
    Row("POST", f"{MACHINES}/restore", {"backup_id": "x", "pitr_time": "2026-11-28T17:05:00Z"}, 422),
    Row("POST", f"{REST}/restore", {}, 422),
    Row("POST", f"{REST}/restore", {"backup_id": "x", "latest": True}, 422),
    Row("POST", f"{REST}/users", {"username": "ben", "role": "king"}, 422),
    Row("POST", f"{REST}/backups", {"type": "all"}, 422),
    Row("PATCH", REST, {}, 422),
    Row("PATCH", REST, {"plan": "starter", "pool_mode": "session"}, 422),
    *(Row("POST", "/v1/postgres", MACHINE_CREATION | {"disk_size_gb": gb}, 422) for gb in (9, 1001, "much")),
    Row("POST", "/v1/postgres", MACHINE_CREATION | {"pool_mode": "none"}, 422),
    Row("POST", "/v1/postgres", {"plan": "basic"}, 422),
]
REFUSED = [
    # what the platform refuses, by its error
    (AlreadyExists, Row("POST", f"{REST}/users", USER, 409)),
    (AlreadyExists, Row("POST", f"{REST}/databases", {"name": "shop"}, 409)),
    (AlreadyExists, Row("POST", f"{REST}/databases/fly-db/extensions", {"name": "hstore"}, 409)),
    (AlreadyExists, Row("POST", f"{MACHINES}/users", USER, 409)),
    (AlreadyExists, Row("POST", f"{MACHINES}/databases/fly-db/extensions", {"name": "hstore"}, 409)),
    (AlreadyExists, Row("POST", f"{ORG}/postgresv2", CREATION | {"plan": "starter"}, 409)),
    (AlreadyExists, Row("POST", "/v1/postgres", MACHINE_CREATION | {"plan": "starter"}, 409)),
    (InvalidInput, Row("POST", "/v1/postgres", MACHINE_CREATION, 422)),
    (InvalidInput, Row("POST", f"{ORG}/postgresv2", CREATION, 422)),
    (InvalidInput, Row("POST", f"{MACHINES}/fork", {"name": "Not A Name"}, 422)),
    (NotFound, Row("DELETE", f"{REST}/users/app", None, 404)),
    (NotFound, Row("PATCH", f"{REST}/users/app", ROLE, 404)),
    (Refused, Row("POST", f"{MACHINES}/backups", {"type": "full"}, 409)),
    (Refused, Row("POST", f"{MACHINES}/fork", None, 409)),
    (Refused, Row("PATCH", REST, {"storage_in_gb": 1}, 409)),
    (StackDown, Row("POST", f"{REST}/users", USER, 503)),
    (StackDown, Row("POST", f"{ORG}/postgresv2", CREATION, 503)),
    (Unconfirmed, Row("POST", f"{REST}/users", USER, 504)),
    (Unconfirmed, Row("POST", f"{ORG}/postgresv2", CREATION, 504)),
]
"""Nothing was begun, where it is not 504, which clients do not repeat."""
ENDED_WITH = [
    # operations that are waited for, by the error with which they end
    (AlreadyExists, Row("POST", f"{REST}/users", USER, 409)),
    (NotFound, Row("POST", f"{REST}/databases/fly-db/extensions", {"name": "none"}, 422)),
    (NotFound, Row("POST", f"{MACHINES}/databases/fly-db/extensions", {"name": "none"}, 422)),
    (Refused, Row("POST", f"{MACHINES}/databases/fly-db/extensions", {"name": "vector"}, 422)),
    (Refused, Row("DELETE", f"{REST}/databases/fly-db/extensions/hstore", None, 422)),
    (Refused, Row("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore", None, 422)),
    (StackDown, Row("POST", f"{REST}/users", USER, 504)),
    (StackDown, Row("POST", f"{MACHINES}/users/app/rotate_password", None, 504)),
]
"""Work was accepted by then: never 502 or 503, after which clients would ask again."""
