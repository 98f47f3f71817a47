"""Input that nobody would send to the API of a real stack with a real cluster: it is refused, and changes nothing."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from api_service import Api, api, token
from cli_program import Mpg
from described_requests import Described
from injections import MARK, PAYLOADS

from model.errors import AlreadyExists, InvalidInput, NotFound, Refused
from model.settings import Settings
from starter.client import MpgClient
from tests.fuzz.run import fuzz

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAME = "orders"
KNOWN_USER = "app"
"""Whom random requests may change or remove: not the one who looks at what there is."""
FEW, MANY = 2, 200
"""Requests for each route that fit its description, and as many that do not."""
FUZZED = 1000
AT_ONCE = 4
SLOWER = frozenset(PAYLOADS[::10])
"""Those that are tried as extensions too: each of these is an operation that asks Postgres."""
_SNAPSHOT = """
SELECT 'role', rolname::text, rolsuper::text FROM pg_roles
UNION ALL SELECT 'database', datname::text, '' FROM pg_database
UNION ALL SELECT 'relation', n.nspname::text || '.' || c.relname, c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL SELECT 'schema', nspname::text, '' FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
UNION ALL SELECT 'extension', extname::text, extversion FROM pg_extension
UNION ALL SELECT 'member', roleid::regrole::text, member::regrole::text FROM pg_auth_members
UNION ALL SELECT 'row', a::text, '' FROM public.kept
UNION ALL SELECT 'setting', name, setting FROM pg_settings WHERE name = 'max_connections'
ORDER BY 1, 2, 3
"""


@pytest.fixture(scope="module")
def cluster(program: Mpg) -> str:
    """The id of a cluster for all tests of this module."""
    program.done("create", "--name", NAME)
    program.done("users", "create", NAME, "--username", KNOWN_USER, "--role", "reader")
    return str(program("status", NAME, "--json").json["id"])


@pytest.fixture(scope="module")
def full(program: Mpg) -> str:
    return token(program)


@pytest.fixture(scope="module")
def rest(program: Mpg, full: str) -> Api:
    return api(program, full)


@pytest.fixture(scope="module")
def known(cluster: str) -> dict[str, str]:
    return {"org": "personal", "cluster": cluster, "username": KNOWN_USER, "database": "fly-db", "extension": "plpgsql"}


@pytest.fixture(scope="module")
def described(rest: Api, full: str, known: dict[str, str]) -> Described:
    return Described(str(rest.http.base_url).rstrip("/"), full, known)


@pytest.fixture(scope="module")
def seen(rest: Api, cluster: str) -> Callable[[], list[Any]]:
    """What there is in the cluster, with a table that some payloads are after."""
    uri = rest("GET", f"/api/v1/postgresv2/{cluster}")["credentials"]["pgbouncer_uri"]

    def snapshot() -> list[Any]:
        with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as session:
            return session.execute(_SNAPSHOT).fetchall()  # pyright: ignore[reportArgumentType]

    with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as session:
        session.execute("CREATE TABLE IF NOT EXISTS public.kept AS SELECT 1 AS a")
    return snapshot


def by_description(described: Described, examples: int, first_seed: int) -> int:
    # One after the other: side by side, CPython 3.11 ends hypothesis in a SystemError (depth of recursion in ast).
    return sum(described.try_out(each, examples=examples, first_seed=first_seed) for each in described.operations())


def test_every_answer_is_one_that_the_description_declares(rest: Api, described: Described, cluster: str) -> None:
    assert by_description(described, FEW, 14) >= FEW * len(described.operations())
    assert rest("GET", f"/api/v1/postgresv2/{cluster}")["data"]["status"] in {"ready", "updating"}


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_every_answer_is_declared_for_long(described: Described) -> None:
    by_description(described, MANY, 41)


async def test_random_tokens_names_bodies_headers_and_documents_are_never_an_error_of_ours(
    rest: Api, full: str, known: dict[str, str]
) -> None:
    report = await asyncio.to_thread(fuzz, str(rest.http.base_url).rstrip("/"), full, known, count=FUZZED, seed=14)
    assert report.failures == ()
    assert sum(report.statuses.values()) >= FUZZED
    assert set(report.kinds) == {"token", "name", "body", "header", "GraphQL"}


def test_text_and_times_at_the_edge_are_refused(rest: Api, cluster: str) -> None:
    org, at, half = "/api/v1/organizations/personal", f"/api/v1/postgresv2/{cluster}", "\ud800"
    early, late = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"
    requests: list[tuple[str, str, object]] = [
        *(("GET", f"{org}/audit?since={_in_url(each)}", None) for each in (early, half)),
        *(("GET", f"{org}/audit?until={_in_url(each)}", None) for each in (late, half)),
        *(("POST", f"{at}/restore", {"pitr_time": each}) for each in (early, late, half)),
        ("POST", f"{at}/restore", {"backup_id": half}),
        ("POST", f"{at}/users", {"username": half, "role": "reader"}),
        ("POST", f"{at}/attachments", {"app_name": half}),
        ("POST", f"{at}/operations", {"operation": "Restart", "node": half}),
        ("POST", f"{at}/operations", {"operation": half}),
        ("POST", "/graphql", {"query": "{ viewer { id } }", "operationName": half}),
    ]
    for method, path, body in requests:
        sent = None if body is None else json.dumps(body)
        answer = rest.http.request(method, path, content=sent, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, f"{method} {path} {sent}: {answer.status_code} {answer.text}"


def _in_url(value: str) -> str:
    return quote(value, safe="", errors="surrogatepass")


def test_there_are_many_injections() -> None:
    assert len(PAYLOADS) >= 200


def test_no_injection_through_the_api_changes_anything(rest: Api, cluster: str, seen: Callable[[], list[Any]]) -> None:
    # A name that may be one is made and removed: its own object, and no other.
    before, at, machine = seen(), f"/api/v1/postgresv2/{cluster}", f"/v1/postgres/{cluster}"

    def everywhere(payload: str) -> list[int]:
        segment = quote(payload, safe="")
        requests: list[tuple[str, str, object]] = [
            ("POST", "/api/v1/organizations/personal/postgresv2", {"name": payload, "plan": "none"}),
            ("GET", f"/api/v1/organizations/{segment}/postgres", None),
            ("GET", f"/api/v1/postgresv2/{segment}", None),
            ("POST", f"{at}/users", {"username": payload, "role": "reader"}),
            ("POST", f"{machine}/users", {"username": "a", "role": payload}),
            ("PATCH", f"{at}/users/{segment}", {"role": "reader"}),
            ("DELETE", f"{at}/users/{segment}", None),
            ("GET", f"{at}/users/{segment}/credentials", None),
            ("POST", f"{machine}/users/{segment}/rotate_password", None),
            ("POST", f"{at}/databases", {"name": payload}),
            ("DELETE", f"{machine}/databases/{segment}", None),
            ("GET", f"{at}/databases/{segment}/extensions", None),
            ("POST", f"{at}/databases/fly-db/extensions", {"name": "hstore", "schema": payload}),
            ("PATCH", at, {"plan": payload}),
            ("GET", f"/api/v1/operations/{segment}", None),
        ]
        if payload in SLOWER:
            requests += [
                ("POST", f"{at}/databases/fly-db/extensions", {"name": payload}),
                ("DELETE", f"{at}/databases/fly-db/extensions/{segment}", None),
            ]
        return [rest.http.request(method, path, json=body).status_code for method, path, body in requests]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = [status for each in pool.map(everywhere, PAYLOADS) for status in each]
    assert max(answers) < 500, [status for status in answers if status >= 500]
    # A payload that is the name of a schema has the extension enabled there.
    rest.http.request("DELETE", f"{at}/databases/fly-db/extensions/hstore")
    assert seen() == before
    assert not any(MARK in str(row) for row in before)


async def test_no_injection_through_the_client_changes_anything(
    stack: Settings, cluster: str, seen: Callable[[], list[Any]]
) -> None:
    before = await asyncio.to_thread(seen)
    completed = 0
    async with MpgClient.connect(stack) as mpg:
        for payload in PAYLOADS:
            starts = [
                lambda name: mpg.create_cluster("other", org=name, plan="none"),
                lambda name: mpg.create_cluster(name, plan="none"),
                lambda name: mpg.create_user(cluster, name, "reader"),
                lambda name: mpg.delete_user(cluster, name),
                lambda name: mpg.create_database(cluster, name),
                lambda name: mpg.delete_database(cluster, name),
                lambda name: mpg.enable_extension(cluster, "fly-db", "no-such", schema=name),
            ]
            for start in starts[: None if payload in SLOWER else -1]:
                with suppress(InvalidInput, NotFound, AlreadyExists, Refused):
                    await (await start(payload)).result()
                    completed += 1
    assert completed > 0  # some reached Postgres, as names
    assert await asyncio.to_thread(seen) == before
