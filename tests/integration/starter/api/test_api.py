"""What Fly's client sends, command by command, in both of its generations, against a real stack with a real cluster."""

import asyncio
import base64
import json
import signal
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit

import httpx
import msgpack as _msgpack
import psycopg
import pytest
from api_service import Api, api, eventually, ready, shell_environment, token
from cli_program import Mpg
from psycopg.sql import SQL, Identifier
from random_requests import random_requests

from activities.postgres.sql import SqlSessions
from model.effects import Target
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key
from starter.stack.parts import API, TEMPORAL
from starter.stack.process import ProcessId
from starter.stack.state import read_status
from starter.tokens.grants import only_cluster, only_organization, read_only, validity
from starter.tokens.macaroon import Caveat, attenuate

msgpack: Any = _msgpack

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAME = "orders"
RANDOM_REQUESTS = 600
CREATION = {
    "name": NAME,
    "region": "local",
    "org_slug": "personal",
    "plan": "Basic",
    "pg_major_version": "17",
    "storage_in_gb": 10,
    "postgis_enabled": False,
    "something_newer": True,
}
CLUSTER_FIELDS = {
    "id", "name", "status", "engine", "plan", "region", "organization", "mpgd_cluster_id", "version", "disk",
    "replicas", "ip_assignments", "attached_apps", "storage_used_bytes", "storage_provisioned_bytes",
}  # fmt: skip
SUMMARY_FIELDS = {"id", "name", "status", "region", "plan", "created_at", "attached_apps"}
MACHINES_FIELDS = {
    "id", "name", "status", "region", "plan", "disk_size_gb", "cpus", "cpu_kind", "memory_mb", "replicas",
    "pg_major_version", "postgis_enabled", "created_at", "attached_apps", "endpoints", "organization",
}  # fmt: skip


@pytest.fixture(scope="module")
def full(program: Mpg) -> str:
    return token(program)


@pytest.fixture(scope="module")
def rest(program: Mpg, full: str) -> Api:
    return api(program, full)


@pytest.fixture(scope="module")
def machines(program: Mpg, full: str) -> Api:
    return api(program, full, scheme="FlyV1")


@pytest.fixture(scope="module")
def cluster(rest: Api) -> dict[str, Any]:
    """A cluster for all tests of this module, made as Fly's client makes one."""
    made = rest("POST", "/api/v1/organizations/personal/postgresv2", CREATION, status=201)
    assert made["ok"] is True
    assert made["data"]["status"] == "initializing"
    assert set(made["data"]) == {
        "id", "name", "status", "plan", "environment", "region", "organization", "replicas", "disk", "ip_assignments",
        "postgis_enabled",
    }  # fmt: skip
    assert (made["data"]["name"], made["data"]["plan"], made["data"]["disk"]) == (NAME, "basic", 10)
    return ready(rest, made["data"]["id"])


@pytest.fixture(scope="module")
def at(cluster: dict[str, Any]) -> str:
    return f"/api/v1/postgresv2/{cluster['id']}"


@pytest.fixture(scope="module")
def machine(cluster: dict[str, Any]) -> str:
    return f"/v1/postgres/{cluster['id']}"


def log_in(uri: str, **other: str) -> str:
    with psycopg.connect(uri, autocommit=True, prepare_threshold=None, **other) as session:  # pyright: ignore[reportArgumentType]
        found = session.execute("select session_user").fetchone()
    assert found is not None
    return str(found[0])


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_a_creation_sent_again_answers_with_the_first_ones_cluster(rest: Api, cluster: dict[str, Any]) -> None:
    again = rest("POST", "/api/v1/organizations/personal/postgresv2", CREATION, status=201)
    assert again["data"]["id"] == cluster["id"]


def test_another_cluster_of_that_name_is_refused_in_both_forms(rest: Api, cluster: dict[str, Any]) -> None:
    other = CREATION | {"plan": "starter"}
    answer = rest("POST", "/api/v1/organizations/personal/postgresv2", other, status=409)
    assert NAME in answer["error"]
    assert answer["errors"] == {"detail": answer["error"]}


def test_status_shows_the_cluster_and_how_its_own_user_connects(rest: Api, at: str, cluster: dict[str, Any]) -> None:
    by_id = rest("GET", at)
    assert by_id == rest("GET", f"/api/v1/organizations/personal/postgresv2/{cluster['id']}")
    found, credentials = by_id["data"], by_id["credentials"]
    assert set(found) == CLUSTER_FIELDS
    assert (found["status"], found["engine"], found["version"], found["replicas"]) == ("ready", "postgres", 2, 1)
    assert found["mpgd_cluster_id"] == found["id"] == cluster["id"]
    assert found["organization"] == {"id": "personal", "slug": "personal", "name": "personal", "rawSlug": "personal"}
    assert set(credentials) == {"status", "user", "password", "dbname", "pgbouncer_uri"}
    assert (credentials["status"], credentials["dbname"]) == ("ready", "fly-db")
    assert log_in(credentials["pgbouncer_uri"]) == credentials["user"]


def test_newer_clients_fall_back_to_the_version(rest: Api, cluster: dict[str, Any]) -> None:
    assert rest("GET", f"/api/v1/postgres/{cluster['id']}")["data"]["version"] == 2


def test_lists_have_the_cluster(rest: Api, cluster: dict[str, Any]) -> None:
    listed = rest("GET", "/api/v1/organizations/personal/postgres")["data"]
    assert [each["id"] for each in listed] == [cluster["id"]]
    assert set(listed[0]) == CLUSTER_FIELDS
    assert rest("GET", "/api/v1/organizations/personal/postgres/deleted")["data"] == []


def test_regions_win_over_a_cluster_called_so(rest: Api) -> None:
    regions = rest("GET", "/api/v1/organizations/personal/postgresv2/regions")["data"]
    assert regions == [{"code": "local", "available": True}]


def test_machines_api_shows_the_same_cluster_in_its_own_form(
    machines: Api, machine: str, cluster: dict[str, Any]
) -> None:
    found = machines("GET", machine)["data"]
    assert set(found) == MACHINES_FIELDS
    assert (found["status"], found["cpus"], found["cpu_kind"], found["memory_mb"]) == ("ready", 2, "shared", 1024)
    assert found["organization"] == {"name": "personal", "slug": "personal"}
    listed = machines("GET", "/v1/postgres?org_slug=personal&include_deleted=true")["data"]
    assert [each["id"] for each in listed] == [cluster["id"]]
    assert set(listed[0]) == SUMMARY_FIELDS


def test_machines_api_tells_where_to_connect(rest: Api, machines: Api, at: str, machine: str) -> None:
    credentials = rest("GET", at)["credentials"]
    primary = machines("GET", machine)["data"]["endpoints"]["primary"]
    for kind in ("direct", "pooler"):
        address = {"host": primary[kind]["host"], "port": str(primary[kind]["port"])}
        assert log_in(credentials["pgbouncer_uri"], **address) == credentials["user"]


def test_machines_api_offers_the_region(machines: Api) -> None:
    found = machines("GET", "/v1/platform/regions")
    assert found["nearest"] == "local"
    [region] = found["regions"]
    assert set(region) == {
        "code", "name", "latitude", "longitude", "gateway_available", "requires_paid_plan", "deprecated", "geo_region",
        "capacity", "mpg_available",
    }  # fmt: skip


def test_machines_api_creates_and_destroys_what_is_then_gone(machines: Api, rest: Api) -> None:
    wanted = {"org_slug": "personal", "name": "short-lived", "plan": "basic", "region": "local", "disk_size_gb": 10}
    made = machines("POST", "/v1/postgres", wanted, status=201, Idempotency_Key="a-cluster")["data"]
    assert set(made) == MACHINES_FIELDS
    again = machines("POST", "/v1/postgres", wanted, status=201, Idempotency_Key="a-cluster")["data"]
    assert again["id"] == made["id"]
    other = wanted | {"plan": "starter"}
    machines.refused("POST", "/v1/postgres", other, status=422, Idempotency_Key="a-cluster")
    path = f"/v1/postgres/{made['id']}"
    eventually(lambda: machines("GET", path)["data"]["status"] == "ready")
    machines("DELETE", path, status=202)

    def gone() -> bool:
        return machines.http.get(path).status_code == 410

    eventually(gone)
    machines("DELETE", path, status=410)
    rest("GET", f"/api/v1/postgresv2/{made['id']}", status=404)
    deleted = eventually(lambda: rest("GET", "/api/v1/organizations/personal/postgres/deleted")["data"])
    assert [set(each) for each in deleted] == [CLUSTER_FIELDS | {"restorable_until"}]
    assert (deleted[0]["id"], deleted[0]["status"]) == (made["id"], "destroyed")
    assert deleted[0]["restorable_until"] is not None
    listed = machines("GET", "/v1/postgres?org_slug=personal&include_deleted=true")["data"]
    [shown] = [each for each in listed if each["id"] == made["id"]]
    assert set(shown) == SUMMARY_FIELDS | {"deleted_at"}
    assert (shown["status"], bool(shown["deleted_at"])) == ("deleted", True)
    assert made["id"] not in [each["id"] for each in machines("GET", "/v1/postgres?org_slug=personal")["data"]]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"org_slug": "nobody"}, 404, "organization not found"),
        ({"disk_size_gb": 5}, 422, "Disk size gb"),
        ({"disk_size_gb": "much"}, 422, "Disk size gb"),
        ({"plan": "colossal"}, 422, "no plan"),
        ({"region": "moon"}, 422, "no region"),
        ({"pg_major_version": "16"}, 422, "16"),
        ({"name": "Not a name"}, 422, "Cluster name"),
    ],
)
def test_a_creation_that_cannot_be_is_refused_at_once(
    machines: Api, change: dict[str, Any], status: int, said: str
) -> None:
    wanted = {"org_slug": "personal", "name": "never", "plan": "basic", "region": "local", "disk_size_gb": 10}
    assert said in machines.refused("POST", "/v1/postgres", wanted | change, status=status)


# --- users, databases, extensions -------------------------------------------------------------------------------------


def test_users_in_the_older_generation(rest: Api, at: str) -> None:
    made = rest("POST", f"{at}/users", {"username": "app", "role": "writer"}, status=201)
    assert made["data"] == {"name": "app", "role": "writer"}
    own = rest("GET", f"{at}/users/app/credentials")["data"]
    pooled = rest("GET", at)["credentials"]["pgbouncer_uri"]
    assert log_in(pooled, user=own["username"], password=own["password"]) == "app"
    assert {"name": "app", "role": "writer"} in rest("GET", f"{at}/users")["data"]
    rest.refused("POST", f"{at}/users", {"username": "app", "role": "writer"}, status=409)
    rest("PATCH", f"{at}/users/app", {"role": "reader"})
    assert {"name": "app", "role": "reader"} in rest("GET", f"{at}/users")["data"]
    rest("DELETE", f"{at}/users/app", status=204)
    rest.refused("DELETE", f"{at}/users/app", status=404)


def test_users_in_the_newer_generation(rest: Api, machines: Api, at: str, machine: str) -> None:
    made = machines("POST", f"{machine}/users", {"username": "newer", "role": "reader"}, status=201)
    assert made["data"] == {"username": "newer", "role": "reader"}
    machines.refused("POST", f"{machine}/users", {"username": "newer", "role": "reader"}, status=409)
    machines.refused("POST", f"{machine}/users", {"username": "postgres", "role": "reader"}, status=400)
    assert "Role" in machines.refused("POST", f"{machine}/users", {"username": "x", "role": "king"}, status=422)
    machines("PATCH", f"{machine}/users/newer", {"role": "writer"}, status=204)
    assert {"username": "newer", "role": "writer"} in machines("GET", f"{machine}/users")["data"]
    before = machines("GET", f"{machine}/users/newer/credentials")["data"]
    after = machines("POST", f"{machine}/users/newer/rotate_password")["data"]
    assert before["password"] != after["password"]
    pooled = rest("GET", at)["credentials"]["pgbouncer_uri"]
    with psycopg.connect(pooled, user="newer", password=after["password"], prepare_threshold=None) as session:
        last = machines("POST", f"{machine}/users/newer/rotate_password", {"kill_sessions": True})["data"]
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    assert log_in(pooled, user="newer", password=last["password"]) == "newer"
    machines("DELETE", f"{machine}/users/newer", status=204)


def test_databases_and_extensions_in_the_older_generation(rest: Api, at: str) -> None:
    rest("POST", f"{at}/databases", {"name": "shop"}, status=201)
    rest.refused("POST", f"{at}/databases", {"name": "shop"}, status=409)
    assert {"name": "shop"} in rest("GET", f"{at}/databases")["data"]
    path = f"{at}/databases/shop/extensions"
    enabled = rest("POST", path, {"name": "vector", "schema": "ai", "create_schema_if_needed": True}, status=201)
    assert enabled["data"]["installed"]["schema"] == "ai"
    rest.refused("POST", path, {"name": "vector"}, status=409)
    rest.refused("POST", path, {"name": "no_such_thing"}, status=422)
    listed = {each["name"]: each for each in rest("GET", path)["data"]}
    assert set(listed["vector"]) == {
        "name",
        "description",
        "docs_url",
        "reach",
        "default_version",
        "is_system",
        "installed",
    }
    assert listed["hstore"]["installed"] is None
    uri = rest("GET", at)["credentials"]["pgbouncer_uri"].rpartition("/")[0] + "/shop"
    with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as session:
        session.execute("create table item (place ai.vector(3))")
    assert "item" in rest.refused("DELETE", f"{path}/vector", status=422)
    rest("DELETE", f"{path}/vector?force=true", status=204)
    rest.refused("GET", f"{at}/databases/nowhere/extensions", status=404)


def test_databases_and_extensions_in_the_newer_generation(machines: Api, machine: str) -> None:
    assert machines("POST", f"{machine}/databases", {"name": "newer"}, status=201)["data"] == {"name": "newer"}
    machines.refused("POST", f"{machine}/databases", {"name": "postgres"}, status=400)
    machines.refused("POST", f"{machine}/databases", {"name": "a b"}, status=400)
    machines.refused("POST", f"{machine}/databases", {"name": 7}, status=422)
    path = f"{machine}/databases/newer/extensions"
    machines("POST", path, {"name": "hstore", "create_schema": False}, status=204)
    machines.refused("POST", path, {"name": "hstore"}, status=409)
    [hstore] = [each for each in machines("GET", path) if each["name"] == "hstore"]
    assert set(hstore) == {"name", "description", "default_version", "system", "installed"}
    assert hstore["installed"]["schema"] == "public"
    machines("DELETE", f"{path}/hstore", status=204)
    machines.refused("DELETE", f"{path}/plpgsql", status=400)
    machines("DELETE", f"{machine}/databases/newer", status=204)


# --- backups, copies, attachments -------------------------------------------------------------------------------------


@contextmanager
def replay_paused(stack: Settings, cluster_id: str) -> Generator[None]:
    """Have the replica replay nothing meanwhile: a backup, which is made from it, lasts as long."""

    async def tell(function: LiteralString) -> None:
        async with MpgClient.connect(stack) as mpg:
            replica = (await mpg.view(cluster_id)).state.status.replica
        assert replica is not None
        sql = SqlSessions(read_master_key(stack.master_key_file))
        async with await sql.open(Target.of(cluster_id, replica)) as session:
            await session.execute(SQL("SELECT {}()").format(Identifier(function)))

    asyncio.run(tell("pg_wal_replay_pause"))
    try:
        yield
    finally:
        asyncio.run(tell("pg_wal_replay_resume"))


def test_backups_are_listed_made_and_one_at_a_time(
    rest: Api, machines: Api, at: str, machine: str, stack: Settings, cluster: dict[str, Any]
) -> None:
    path = f"{at}/backups"
    # The one that each new cluster gets.
    [first] = eventually(lambda: [each for each in rest("GET", path)["data"] if each["status"] == "completed"])
    assert {"id", "status", "type", "start", "stop"} <= set(first)
    assert first["type"] == "full"
    # It is listed while its operation has yet to remove what is kept no longer.
    eventually(lambda: all(each["status"] != "running" for each in rest("GET", f"{at}/operations")["data"]))
    with replay_paused(stack, cluster["id"]):
        begun = rest("POST", path, {"type": "incr"}, status=202)["data"]
        assert begun["type"] == "Backup"
        # What a client sends again is the same backup; another one has to wait.
        assert rest("POST", path, {"type": "incr"}, status=202)["data"]["id"] == begun["id"]
        assert begun["id"] in rest.refused("POST", path, {"type": "full"}, status=409)
        assert begun["id"] in machines.refused("POST", f"{machine}/backups", {"type": "incr"}, status=409)
        assert rest("GET", f"/api/v1/operations/{begun['id']}")["data"]["status"] == "running"
    eventually(lambda: rest("GET", f"/api/v1/operations/{begun['id']}")["data"]["status"] == "done")
    newest, *_ = machines("GET", f"{machine}/backups")
    assert set(newest) == {"id", "status", "type", "started_at", "finished_at", "size_bytes"}
    assert (newest["status"], newest["type"], newest["size_bytes"] > 0) == ("completed", "incr", True)
    assert [each["id"] for each in rest("GET", path)["data"]] == [newest["id"], first["id"]]
    for service, route in ((rest, path), (machines, f"{machine}/backups")):
        assert "Type" in service.refused("POST", route, {"type": "all"}, status=422)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "Say one of"),
        ({"backup_id": "x", "pitr_time": "2026-01-01T00:00:00Z"}, 422, "Say one of"),
        ({"backup_id": "20260101-000000F"}, 404, "no backup"),
        ({"pitr_time": "2001-01-01T00:00:00Z"}, 422, "cannot be restored"),
        ({"pitr_time": "2001-01-01T00:00:00"}, 422, "offset"),
        ({"pitr_time": "yesterday"}, 422, "no time"),
        ({"backup_id": "20260101-000000F", "name": "Not A Name"}, 422, "Cluster name"),
        ({"backup_id": "20260101-000000F", "name": NAME}, 409, "already"),
    ],
)
def test_a_restore_that_cannot_be_is_refused(
    rest: Api, machines: Api, at: str, machine: str, body: dict[str, Any], status: int, said: str
) -> None:
    for service, route in ((rest, at), (machines, machine)):
        assert said in service.refused("POST", f"{route}/restore", body, status=status)


def test_copies_are_made_in_both_generations(
    program: Mpg, rest: Api, machines: Api, at: str, machine: str, cluster: dict[str, Any]
) -> None:
    own = api(program, token(program, "--cluster", NAME))
    own.refused("POST", f"{at}/restore", {"backup_id": "x"}, status=403)
    [backup] = [each["id"] for each in rest("GET", f"{at}/backups")["data"] if each["type"] == "full"]
    wanted = {"backup_id": backup, "name": "restored"}
    restored = rest("POST", f"{at}/restore", wanted, status=201, Idempotency_Key="a-restore")["data"]
    assert set(restored) == CLUSTER_FIELDS
    assert (restored["name"], restored["disk"]) == ("restored", cluster["disk"])
    again = rest("POST", f"{at}/restore", wanted, status=201, Idempotency_Key="a-restore")["data"]
    assert again["id"] == restored["id"] != cluster["id"]
    assert log_in(ready_credentials(rest, restored["id"])["pgbouncer_uri"]) == "fly-user"
    rest("DELETE", f"/api/v1/organizations/personal/postgresv2/{restored['id']}", status=202)

    forked = machines("POST", f"{machine}/fork", status=201)["data"]
    assert set(forked) == MACHINES_FIELDS
    assert forked["name"] == f"{NAME}-fork"
    path = f"/v1/postgres/{forked['id']}"
    machines.refused("POST", f"{path}/fork", status=409)
    eventually(lambda: machines("GET", path)["data"]["status"] == "ready")
    machines("DELETE", path, status=202)
    eventually(lambda: machines.http.get(path).status_code == 410)
    machines.refused("POST", f"{path}/fork", status=410)
    kept = {each["id"] for each in rest("GET", "/api/v1/organizations/personal/postgres/deleted")["data"]}
    assert {forked["id"], restored["id"]} <= kept


def ready_credentials(rest: Api, cluster_id: str) -> dict[str, Any]:
    ready(rest, cluster_id)
    return rest("GET", f"/api/v1/postgresv2/{cluster_id}")["credentials"]


def test_attachments_are_on_the_clusters_record(rest: Api, machines: Api, at: str, machine: str) -> None:
    made = rest("POST", f"{at}/attachments", {"app_name": "web"}, status=201)["data"]
    assert set(made) == {"id", "app_id", "managed_service_id", "attached_at"}
    assert all(isinstance(made[each], int) for each in ("id", "app_id"))
    known = machines("POST", f"{machine}/attachments", {"app_name": "web"}, status=200)["data"]
    assert known["attached_at"] == made["attached_at"]
    newer = machines("POST", f"{machine}/attachments", {"app_name": "jobs"}, status=201)["data"]
    assert set(newer) == {"app_name", "attached_at", "postgres_cluster_id"}
    listed = rest("GET", at)["data"]["attached_apps"]
    assert [each["name"] for each in listed] == ["web", "jobs"]
    assert listed[0]["id"] == made["app_id"]
    assert machines("GET", machine)["data"]["attached_apps"] == [{"name": "web"}, {"name": "jobs"}]
    assert "web" in rest("DELETE", f"{at}/attachments/web")["data"]["message"]
    machines("DELETE", f"{machine}/attachments/jobs", status=204)
    assert rest("GET", at)["data"]["attached_apps"] == []
    for service, route in ((rest, at), (machines, machine)):
        service.refused("DELETE", f"{route}/attachments/web", status=404)
        service.refused("POST", f"{route}/attachments", {"app_name": "Not A Name"}, status=422)


def test_storage_grows_and_never_shrinks(rest: Api, at: str, cluster: dict[str, Any]) -> None:
    rest.refused("PATCH", at, {"storage_in_gb": cluster["disk"] - 1}, status=409)
    rest.refused("PATCH", at, {"storage_in_gb": 5000}, status=422)
    begun = rest("PATCH", at, {"storage_in_gb": cluster["disk"] + 1}, status=202)["data"]
    eventually(lambda: rest("GET", f"/api/v1/operations/{begun['id']}")["data"]["status"] == "done")
    found = rest("GET", at)["data"]
    assert found["disk"] == cluster["disk"] + 1
    assert found["storage_provisioned_bytes"] == found["disk"] * 2**30
    assert found["storage_used_bytes"] is None or found["storage_used_bytes"] > 0


# --- organizations and GraphQL ----------------------------------------------------------------------------------------


def test_organizations_by_rest(rest: Api) -> None:
    found = rest("GET", "/api/v1/organizations/personal")["organization"]
    assert set(found) == {
        "id", "internal_numeric_id", "slug", "raw_slug", "name", "paid_plan", "personal", "billable", "billing_status",
        "provisions_beta_extensions", "remote_builder_image",
    }  # fmt: skip
    assert isinstance(found["internal_numeric_id"], int)
    assert rest("GET", "/api/v1/organizations?admin=false") == {"organizations": [found]}


def test_graphql_answers_under_aliases_with_variables_and_fragments(rest: Api) -> None:
    answer = rest.query(
        """
        query Ask($slug: String!, $admin: Boolean!) {
          details: organization(slug: $slug) { ...Short billingStatus provisionsBetaExtensions addOnSsoLink }
          organizations(admin: $admin) { nodes { ...Short viewerRole } }
          platform { requestRegion regions {
            name code latitude longitude gatewayAvailable requiresPaidPlan deprecated
          } }
          me: viewer { __typename ... on User { id email } }
        }
        fragment Short on Organization { id internalNumericId slug rawSlug name type billable paidPlan }
        """,
        slug="personal",
        admin=False,
    )
    assert set(answer) == {"data"}
    data = answer["data"]
    assert set(data) == {"details", "organizations", "platform", "me"}
    assert (data["details"]["slug"], data["details"]["type"]) == ("personal", "PERSONAL")
    assert data["organizations"]["nodes"][0]["viewerRole"] == "admin"
    assert data["platform"]["regions"][0]["code"] == data["platform"]["requestRegion"] == "local"
    assert data["me"]["__typename"] == "User"
    assert "@" in data["me"]["email"]


def test_graphql_says_that_an_organization_is_not_there(rest: Api) -> None:
    answer = rest.query("query($slug: String!) { mine: organization(slug: $slug) { id } }", slug="nobody")
    assert answer["data"] == {"mine": None}
    assert answer["errors"][0]["path"] == ["mine"]
    assert "nobody" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    "document",
    [
        "{ organization",
        "{ nothing }",
        "mutation { nothing }",
        "{ " + "viewer { id } " * 600 + "}",
        "{ " + " ".join(f"a{number}: viewer {{ id }}" for number in range(300)) + " }",
        "{ viewer " + "{ ... on User " * 1000 + "{ id }" + " }" * 1001,
        "{ viewer { ...A0 } } "
        + " ".join(f"fragment A{n} on User {{ ...A{n + 1} ...A{n + 1} }}" for n in range(30))
        + " fragment A30 on User { id }",
        "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }",
    ],
)
def test_graphql_refuses_what_is_no_query_or_costs_too_much(rest: Api, document: str) -> None:
    begun = time.monotonic()
    answer = rest.http.post("/graphql", json={"query": document})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]
    assert time.monotonic() - begun < 2


# --- this project's own -----------------------------------------------------------------------------------------------


def test_a_change_is_begun_shown_with_its_steps_and_listed(rest: Api, at: str) -> None:
    begun = rest("PATCH", at, {"pool_mode": "session"}, status=202)["data"]
    assert (begun["type"], begun["status"]) == ("SetPoolMode", "running")
    path = f"/api/v1/operations/{begun['id']}"
    done = eventually(lambda: (found := rest("GET", path)["data"])["status"] == "done" and found)
    assert done["steps"]
    assert rest("GET", f"{at}/operations/{begun['id']}")["data"] == done
    assert begun["id"] in [each["id"] for each in rest("GET", f"{at}/operations?limit=5")["data"]]
    rest.refused("DELETE", path, status=409)
    rest.refused("GET", "/api/v1/operations/change-plan/orders/none", status=404)


def test_a_change_has_to_be_one(rest: Api, at: str) -> None:
    for body in ({}, {"plan": "starter", "pool_mode": "session"}):
        assert "One change" in rest.refused("PATCH", at, body, status=422)


def test_switchover_and_restart_are_begun(rest: Api, at: str) -> None:
    before = {node["name"]: node["role"] for node in rest("GET", f"{at}/nodes")["data"]}
    begun = rest("POST", f"{at}/switchover", status=202)["data"]
    eventually(lambda: rest("GET", f"/api/v1/operations/{begun['id']}")["data"]["status"] == "done")
    assert {node["name"]: node["role"] for node in rest("GET", f"{at}/nodes")["data"]} != before
    restart = rest("POST", f"{at}/restart", status=202)["data"]
    path = f"/api/v1/operations/{restart['id']}"
    rest("DELETE", path, status=202)
    ended = eventually(lambda: (found := rest("GET", path)["data"])["status"] != "running" and found)
    again = f"/api/v1/operations/{begun['id']}/retry"
    assert "did what" in rest.refused("POST", again, status=409)
    if ended["status"] == "cancelled":  # it was not past the point from which on it goes through
        retried = rest("POST", f"{path}/retry", status=202, Idempotency_Key="again")["data"]
        assert (retried["type"], retried["id"].rpartition("/")[2]) == ("Restart", "again")
        assert rest("POST", f"{path}/retry", status=202, Idempotency_Key="again")["data"]["id"] == retried["id"]
        eventually(lambda: rest("GET", f"/api/v1/operations/{retried['id']}")["data"]["status"] == "done")
    ready(rest, rest("GET", at)["data"]["id"])


# --- audit ------------------------------------------------------------------------------------------------------------


def test_who_asked_for_what_is_told_and_to_whom_passwords_were_shown(
    program: Mpg, at: str, cluster: dict[str, Any]
) -> None:
    issued = program.done("auth", "token", "--json").json
    service, actor = api(program, issued["token"]), f"token/{issued['id']}"
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    service("POST", f"{at}/users", {"username": "audited", "role": "reader"}, status=201)
    service("GET", f"{at}/users/audited/credentials")
    service("POST", f"{at}/attachments", {"app_name": "seen"}, status=201)
    service("DELETE", f"{at}/attachments/seen")
    uri = program.done("url", NAME, "-u", "audited").out.strip()
    program.done("users", "delete", NAME, "-u", "audited", "--yes")

    def audit(of: Api) -> list[dict[str, Any]]:
        answer = of.http.get("/api/v1/organizations/personal/audit", params={"since": since})
        assert answer.status_code == 200, answer.text
        assert str(urlsplit(uri).password) not in answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def whole() -> list[dict[str, Any]]:
        found = [each for each in audit(service) if each["actor"] != "mpg"]  # whose first backup may begin meanwhile
        return found if len(found) >= 6 and found[-1]["outcome"] == "done" else []

    found = eventually(whole)
    assert [(each["actor"].partition("/")[0], each["action"]) for each in found] == [
        ("token", "CreateUser"),
        ("token", "ReadPassword"),
        ("token", "AttachApp"),
        ("token", "DetachApp"),
        ("cli", "ReadPassword"),
        ("cli", "DeleteUser"),
    ]
    assert {each["actor"] for each in found if each["actor"].startswith("token")} == {actor}
    assert {(each["cluster_id"], each["organization"]) for each in found} == {(cluster["id"], "personal")}
    assert found[1]["about"] == "audited"
    assert found[0]["operation"].startswith("create-user/")
    assert audit(api(program, attenuate(issued["token"], [only_cluster("z" * 16)]))) == []
    stranger = api(program, token(program, "--org", "elsewhere"))
    stranger.refused("GET", "/api/v1/organizations/personal/audit", status=404)
    service.refused("GET", "/api/v1/organizations/personal/audit?since=yesterday", status=422)


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_a_key_answers_with_the_first_calls_operation(rest: Api, at: str) -> None:
    body = {"username": "keyed", "role": "writer"}
    first = rest("POST", f"{at}/users", body, status=201, Idempotency_Key="once")
    assert rest("POST", f"{at}/users", body, status=201, Idempotency_Key="once") == first
    other = body | {"role": "reader"}
    assert "once" in rest.refused("POST", f"{at}/users", other, status=422, Idempotency_Key="once")
    rest("DELETE", f"{at}/users/keyed", status=204, Idempotency_Key="gone")
    rest("DELETE", f"{at}/users/keyed", status=204, Idempotency_Key="gone")
    rest.refused("DELETE", f"{at}/users/keyed", status=422, Idempotency_Key="no spaces please")


def test_keys_and_repeats_of_creation_and_destruction(rest: Api) -> None:
    path = "/api/v1/organizations/personal/postgresv2"
    wanted = CREATION | {"name": "repeated"}
    with ThreadPoolExecutor(4) as senders:
        answers = senders.map(lambda _: rest("POST", path, wanted, status=201), range(4))
        [made] = {answer["data"]["id"] for answer in answers}
    ready(rest, made)
    first = rest("DELETE", f"{path}/{made}", status=202, Idempotency_Key="away")
    eventually(lambda: rest.http.get(f"{path}/{made}").status_code == 404)
    again = rest("DELETE", f"{path}/{made}", status=202, Idempotency_Key="away")
    assert again["data"]["id"] == first["data"]["id"]
    rest.refused("DELETE", f"{path}/{made}", status=404)


# --- who gets in ------------------------------------------------------------------------------------------------------


def test_env_is_all_that_flys_client_needs(program: Mpg, cluster: dict[str, Any]) -> None:
    lines = program.done("auth", "env").out
    found = shell_environment(lines)
    base = f"http://127.0.0.1:{program.environment['MPG_API_PORT']}"
    assert {found[f"FLY_{name}_BASE_URL"] for name in ("UIEX", "FLAPS", "API")} == {base}
    off = {name: found[name] for name in ("FLY_SEND_METRICS", "FLY_NO_UPDATE_CHECK", "FLY_SYNTHETICS_AGENT")}
    assert off == {"FLY_SEND_METRICS": "0", "FLY_NO_UPDATE_CHECK": "1", "FLY_SYNTHETICS_AGENT": "0"}
    assert Path(found["FLY_CONFIG_DIR"]).is_dir()
    ready(api(program, found["FLY_ACCESS_TOKEN"]), cluster["id"])
    assert program.done("auth", "env").out == lines
    assert program.done("auth", "env", "--json").json == found


def wrong_tail(text: str) -> str:
    parts = msgpack.unpackb(base64.b64decode(text[4:]))
    return "fm2_" + base64.b64encode(msgpack.packb([*parts[:3], bytes(32)])).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (lambda text: None, 401),
        (lambda text: "", 401),
        (lambda text: "Basic dXNlcjpwYXNz", 401),
        (lambda text: "Bearer", 401),
        (lambda text: "Bearer fm2_nonsense", 401),
        (lambda text: f"Bearer {wrong_tail(text)}", 401),
        (lambda text: f"Bearer {attenuate(text, [validity(0, 1)])}", 401),
        (lambda text: f"Bearer {attenuate(text, [Caveat.of(12345, [])])}", 403),
        (lambda text: f"Bearer {attenuate(text, [Caveat.of(4, ['soon'])])}", 403),
        (lambda text: f"bearer {text}", 200),
        (lambda text: f"FlyV1 {text}", 200),
        (lambda text: f"Bearer fm2_nonsense, {text}", 200),
        (lambda text: f"FlyV1 {attenuate(text, [Caveat.of(12345, [])])},{text}", 200),
    ],
)
def test_only_a_token_in_force_gets_in(rest: Api, full: str, header: Any, status: int) -> None:
    value = header(full)
    headers = {} if value is None else {"Authorization": value}
    base = str(rest.http.base_url)
    for method, path in (("GET", "/api/v1/organizations"), ("POST", "/graphql"), ("GET", "/v1/platform/regions")):
        body = {"query": "{ viewer { id } }"} if path == "/graphql" else None
        answer = httpx.request(method, base + path, headers=headers, json=body)
        assert answer.status_code == status, answer.text
        assert status == 200 or set(answer.json()) == {"error"}


def test_without_a_token_not_even_a_body_is_looked_at(rest: Api) -> None:
    base = str(rest.http.base_url)
    for path in ("/api/v1/organizations/personal/postgresv2", "/graphql", "/v1/postgres", "/no/such/route"):
        assert httpx.post(base + path, content=b"{").status_code == 401
    assert httpx.get(base + "/healthz").status_code == 200


def test_a_revoked_token_is_over_at_once_and_its_id_is_in_the_log(program: Mpg, full: str) -> None:
    made = program.done("auth", "token", "--json").json
    service = api(program, made["token"])
    service("GET", "/api/v1/organizations")
    assert made["id"] in program.done("auth", "list").out
    program.done("auth", "revoke", made["id"])
    assert "revoked" in service.refused("GET", "/api/v1/organizations", status=401)
    log = Path(program.environment["MPG_HOME"], "logs", "api.log").read_text()
    assert f"token/{made['id']}" in log
    assert made["token"] not in log
    assert full not in log


def test_reading_changes_nothing_and_shows_no_password(program: Mpg, at: str, cluster: dict[str, Any]) -> None:
    reader = api(program, token(program, "--read-only"))
    found = reader("GET", at)
    assert found["data"]["id"] == cluster["id"]
    assert (found["credentials"]["password"], found["credentials"]["pgbouncer_uri"]) == ("", "")
    reader.refused("GET", f"{at}/users/fly-user/credentials", status=403)
    assert reader.query("{ viewer { id } }")["data"]
    for method, path, body in (
        ("POST", f"{at}/users", {"username": "x", "role": "writer"}),
        ("PATCH", at, {"plan": "starter"}),
        ("DELETE", f"/api/v1/organizations/personal/postgresv2/{cluster['id']}", None),
        ("POST", f"{at}/switchover", None),
        ("POST", "/v1/postgres", {"org_slug": "personal"}),
    ):
        assert "only read" in reader.refused(method, path, body, status=403)


def test_a_token_for_one_cluster_knows_no_other(program: Mpg, rest: Api, at: str, cluster: dict[str, Any]) -> None:
    own = api(program, token(program, "--cluster", NAME))
    assert own("GET", at)["data"]["id"] == cluster["id"]
    assert [each["id"] for each in own("GET", "/api/v1/organizations/personal/postgres")["data"]] == [cluster["id"]]
    own.refused("POST", "/api/v1/organizations/personal/postgresv2", CREATION | {"name": "more"}, status=403)
    other = api(program, attenuate(token(program), [only_cluster("z" * 16)]))
    missing = rest.refused("GET", "/api/v1/postgresv2/" + "0" * 16, status=404)
    assert other.refused("GET", at, status=404) == missing.replace("0" * 16, cluster["id"])
    other.refused("GET", f"/v1/postgres/{cluster['id']}", status=404)
    assert other("GET", "/api/v1/organizations/personal/postgres")["data"] == []


def test_a_token_for_one_organization_sees_nothing_of_another(
    program: Mpg, rest: Api, at: str, cluster: dict[str, Any], full: str
) -> None:
    operation = rest("GET", f"{at}/operations?limit=1")["data"][0]["id"]
    stranger = api(program, token(program, "--org", "elsewhere"))
    narrowed = api(program, attenuate(full, [only_organization("elsewhere"), read_only()]))
    for service in (stranger, narrowed):
        for path in (
            "/api/v1/organizations/personal",
            "/api/v1/organizations/personal/postgres",
            "/api/v1/organizations/elsewhere/postgres",
            f"/api/v1/organizations/elsewhere/postgresv2/{cluster['id']}",
            at,
            f"{at}/users",
            f"{at}/operations",
            f"/api/v1/operations/{operation}",
            f"/v1/postgres/{cluster['id']}",
            "/v1/postgres?org_slug=personal",
        ):
            service.refused("GET", path, status=404)
        assert service("GET", "/api/v1/organizations") == {"organizations": []}
        assert "errors" in service.query('{ organization(slug: "personal") { id } }')
    stranger.refused("DELETE", f"/api/v1/operations/{operation}", status=404)
    stranger.refused("PATCH", at, {"plan": "starter"}, status=404)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "username"),
        ({"username": "x"}, "role"),
        ({"username": 5, "role": "writer"}, "Username"),
        ({"username": None, "role": "writer"}, "Username"),
        ({"username": "x", "role": ["writer"]}, "Role"),
        ({"username": "x" * 64, "role": "writer"}, "too long"),
        ({"username": "x'; drop table y; --", "role": "writer"}, "not allowed"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field(rest: Api, at: str, body: object, said: str) -> None:
    assert said.lower() in rest.refused("POST", f"{at}/users", body, status=422).lower()


def test_what_is_not_json_or_too_large_is_refused(rest: Api, at: str) -> None:
    answer = rest.http.post(f"{at}/users", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    for content in (b"x" * 70_000, iter([b"x" * 40_000, b"x" * 40_000])):
        answer = rest.http.post(f"{at}/users", content=content)
        assert (answer.status_code, set(answer.json())) == (413, {"error"})


def test_routes_and_methods_that_are_not_there(rest: Api, at: str) -> None:
    rest.refused("GET", "/api/v1/nothing", status=404)
    rest.refused("GET", "/api/v1/organizations/", status=404)
    rest.refused("PUT", at, {}, status=405)
    for operation in ("", "x" * 3000, "cluster/" + "0" * 16, at.replace("/api/v1/postgresv2/", "cluster/")):
        rest.refused("GET", f"/api/v1/operations/{operation}", status=404)
    for path in ("/api/v1/postgresv2/NOT-AN-ID", "/api/v1/postgresv2/" + "x" * 3000, "/api/v1/organizations/Ä%00"):
        rest.refused("GET", path, status=404)


def test_random_input_is_refused_in_one_sentence_and_never_an_error_of_ours(rest: Api, cluster: dict[str, Any]) -> None:
    description = rest("GET", "/openapi.json")
    known = {"cluster": cluster["id"], "org": "personal", "database": "fly-db", "username": "fly-user"}
    for request in random_requests(description, known, seed=14, count=RANDOM_REQUESTS):
        answer = rest.http.request(request.method, request.path, headers=request.headers, content=request.content)
        assert answer.status_code < 500, f"{request}: {answer.status_code} {answer.text}"
        if answer.status_code >= 400 and request.path != "/graphql":
            assert set(answer.json()) - {"errors"} == {"error"}, f"{request}: {answer.text}"
    ready(rest, cluster["id"])


# --- the process ------------------------------------------------------------------------------------------------------


def process_of(stack: Settings, part: str) -> ProcessId:
    status = read_status(stack)
    assert status is not None
    [process] = [each.process for each in status.parts if each.name == part]
    assert process is not None
    return process


def test_while_temporal_is_silent_nothing_is_begun(rest: Api, stack: Settings, at: str) -> None:
    temporal = process_of(stack, TEMPORAL)
    temporal.send(signal.SIGSTOP)
    try:
        rest.refused("GET", at, status=503)
        rest.refused("POST", f"{at}/users", {"username": "never", "role": "writer"}, status=503)
    finally:
        temporal.send(signal.SIGCONT)
    eventually(lambda: rest.http.get(at).status_code == 200)
    assert "never" not in [user["name"] for user in rest("GET", f"{at}/users")["data"]]


def test_a_process_that_was_killed_is_started_again_and_knows_its_tokens(rest: Api, stack: Settings, at: str) -> None:
    process_of(stack, API).send(signal.SIGKILL)

    def answers() -> bool:
        try:
            return rest.http.get(at).status_code == 200
        except httpx.TransportError:
            return False

    eventually(answers)
