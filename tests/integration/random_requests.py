"""Requests that nobody would send, made from an API's own description: the same ones for the same seed."""

import json
import random
import string
from collections.abc import Generator
from typing import Any, NamedTuple
from urllib.parse import quote

WEIRD = (
    "", "a", "'; drop table users; --", "\0", "Ä", "../..", "%2e%2e", "😀" * 20, "x" * 300, "postgres", "-1", "{}",
    "a\nb", "a b", '"', "$(id)", "1e999", "0" * 16, "fly-user", "fly-db", "personal", "local", "writer", "vector",
    "\ud800", "0001-01-01T00:00:00+14:00",
)  # fmt: skip
NUMBERS = (0, -1, 17, 2**31, 2**63, 2**70, 1.5, 1e308)
FIELDS = (
    "username", "role", "name", "plan", "pool_mode", "schema", "create_schema", "org_slug", "region", "disk_size_gb",
    "storage_in_gb", "pg_major_version", "kill_sessions", "query", "variables", "operationName",
)  # fmt: skip
DOCUMENTS = (
    "{ viewer { id } }", "query($a: [Int!]!) { organization(slug: $a) { id } }", "{ organization(slug: 5) { id } }",
    "{ __schema { types { name } } }", "subscription { a }", "query A { viewer { id } } query B { viewer { id } }",
)  # fmt: skip
QUERIES = (
    "force=maybe", "limit=x", "limit=0", "include_deleted=zz", "org_slug=%00", "user=%ED%A0%80",
    "since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Idempotency-Key": "k" * 65},
    {"Idempotency-Key": ""},
    {"Content-Type": "text/plain"},
    {"Content-Type": "multipart/form-data"},
    {"Content-Type": "application/json; charset=utf-7"},
)


class RandomRequest(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


def random_requests(description: Any, known: dict[str, str], *, seed: int, count: int) -> Generator[RandomRequest]:
    """Make *count* requests to the routes in an OpenAPI *description*.

    *known* has values for parameters of paths, which are used half of the time: except where the route would take the
    cluster away or keep it busy.
    """
    chance = random.Random(seed)
    routes = sorted(
        (method.upper(), path)
        for path, methods in description["paths"].items()
        if not path.endswith("/events")  # those have no end
        for method in methods
    )
    for _ in range(count):
        method, path = chance.choice(routes)
        given = {} if _ends_it(method, path) else known
        url = "/".join(_segment(chance, part, given) for part in path.split("/"))
        if chance.random() < 0.2:
            url += "?" + chance.choice(QUERIES)
        content = _body(chance) if method in {"POST", "PATCH"} else b""
        yield RandomRequest(method, url, chance.choice(HEADERS), content)


def _ends_it(method: str, path: str) -> bool:
    return path.endswith(("/restart", "/switchover", "/fork", "/backups")) or (
        method != "GET" and path.endswith("/{cluster}")
    )


def _segment(chance: random.Random, part: str, given: dict[str, str]) -> str:
    if not part.startswith("{"):
        return part
    name = part.strip("{}").partition(":")[0]
    use_known = name in given and chance.random() < 0.5
    return quote(given[name] if use_known else chance.choice(WEIRD), safe="", errors="surrogatepass")


def _body(chance: random.Random) -> bytes:
    match chance.randrange(4):
        case 0:
            return chance.randbytes(chance.randrange(60))
        case 1:
            return json.dumps(
                {
                    "query": chance.choice(DOCUMENTS),
                    "variables": chance.choice([None, {}, [], "x"]),
                    "operationName": chance.choice([None, "A", "\ud800"]),
                }
            ).encode()
        case 2:
            return b"[" * chance.choice([1, 100, 60_000])
        case _:
            fields = chance.sample(FIELDS, chance.randrange(6))
            # No plan of that name: nothing here makes a cluster.
            return json.dumps({name: _value(chance) for name in fields} | {"plan": "none"}).encode()


def _value(chance: random.Random, depth: int = 0) -> object:
    match chance.randrange(6 if depth < 3 else 4):
        case 0 | 1:
            return chance.choice(WEIRD)
        case 2:
            return chance.choice((*NUMBERS, None, True, False))
        case 3:
            return "".join(chance.choices(string.printable, k=chance.randrange(30)))
        case 4:
            return [_value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            return {chance.choice(FIELDS): _value(chance, depth + 1) for _ in range(chance.randrange(4))}
