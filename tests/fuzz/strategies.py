"""What hypothesis makes requests of: tokens, names, bodies, headers and GraphQL documents, right or nearly so."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import msgpack as _msgpack
from hypothesis import strategies as st

from starter.tokens.macaroon import LOCATION, PREFIX, attenuate
from starter.tokens.macaroon import Caveat as TokenCaveat

msgpack: Any = _msgpack
FIELDS = (
    "username", "role", "name", "plan", "pool_mode", "schema", "create_schema", "org_slug", "region", "disk_size_gb",
    "storage_in_gb", "pg_major_version", "kill_sessions", "query", "variables", "operationName", "type", "backup_id",
    "pitr_time", "app_name", "since", "url",
)  # fmt: skip
QUERY = ("force", "since", "until", "limit", "state", "user", "database", "kind", "include_deleted", "org_slug")
GRAPHQL = "/graphql"
GRAPHQL_SHARE = 8
"""One of so many requests is a GraphQL document: it is one route among dozens."""
GRAPHQL_FIELDS = ("id", "slug", "name", "viewer", "platform", "regions", "organization", "nodes", "__schema", "type")
_SENSIBLE = ("fly-user", "fly-db", "personal", "writer", "vector", "basic", "a" * 63, "pg_x", "session", "full")
EDGES = ("\ud800", "\udfff", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z")
"""Halves of surrogate pairs, which JSON can hold, and times that are none in UTC, or nearly so."""


class FuzzedRequest(NamedTuple):
    """One request. ``authorization`` None: the valid token."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    authorization: str | None
    kinds: tuple[str, ...]
    """What of it is random: ``token``, ``name`` (in the path), ``body``, ``header``, ``GraphQL``."""


text = st.one_of(
    st.sampled_from(_SENSIBLE), st.text(max_size=40), st.sampled_from(["", "\0", "x" * 5000, "'; --", *EDGES])
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), text, st.integers(min_value=2**60, max_value=2**80)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | text, inner, max_size=5),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), documents, max_size=6)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80)
extra_headers = st.lists(
    st.tuples(
        st.sampled_from(
            ["Idempotency-Key", "Content-Type", "Accept", "X-Request-Id", "Last-Event-ID", "Host", "Origin", "Cookie"]
        ),
        header_values | st.sampled_from(["application/json", "text/plain", "k-1", "application/json; charset=utf-7"]),
    ),
    max_size=3,
    unique_by=lambda each: each[0],
)


def _selection(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    field = st.sampled_from(GRAPHQL_FIELDS)
    return st.builds(lambda name, within: f"{name} {{ {within} }}", field, st.lists(inner, max_size=6).map(" ".join))


queries = st.one_of(
    st.recursive(st.sampled_from(GRAPHQL_FIELDS), _selection, max_leaves=25).map(lambda inner: f"{{ {inner} }}"),
    st.integers(1, 4000).map(lambda n: "{ " + " ".join(f"a{i}: viewer {{ id }}" for i in range(n)) + " }"),
    st.integers(1, 3000).map(lambda n: "{ a " * n + "}" * n),
    st.text(max_size=80),
    st.integers(1, 60).map(
        lambda n: (
            "query { ...f0 } " + " ".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }}" for i in range(n))
        )
    ),
)
bodies = st.one_of(
    st.binary(max_size=200),
    objects.map(lambda value: json.dumps(value).encode()),
    documents.map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda query, variables, name: json.dumps(
            {"query": query, "variables": variables, "operationName": name}
        ).encode(),
        queries,
        documents,
        st.none() | text,
    ),
    st.integers(1, 60_000).map(lambda n: b"[" * n),
    st.integers(60_000, 80_000).map(lambda n: b" " * n),
)

packable = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def tokens(valid: str) -> st.SearchStrategy[str]:
    """Near a valid token and far from it: bytes changed, forms packed anew, caveats of any kind added."""
    raw = base64.b64decode(valid.removeprefix(PREFIX))

    def flipped(place: int, byte: int) -> str:
        changed = bytearray(raw)
        changed[place % len(raw)] = byte
        return _packed(bytes(changed))

    caveats = st.builds(lambda kind, body: (kind, body), st.integers(0, 2**49), st.lists(packable, max_size=3))
    nonce = st.tuples(st.binary(max_size=20), st.binary(min_size=14, max_size=18)).map(list)
    forged = st.tuples(
        nonce | packable, st.just(LOCATION) | st.text(max_size=9), st.lists(packable, max_size=6), packable
    )
    return st.one_of(
        st.builds(flipped, st.integers(0, 10_000), st.integers(0, 255)),
        st.integers(0, len(raw)).map(lambda end: _packed(raw[:end])),
        st.binary(max_size=300).map(_packed),
        packable.map(lambda value: _packed(msgpack.packb(value))),
        forged.map(lambda parts: _packed(msgpack.packb(list(parts)))),
        st.lists(caveats, min_size=1, max_size=5).map(
            lambda found: attenuate(valid, [TokenCaveat.of(kind, body) for kind, body in found])
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    )


def _packed(data: bytes) -> str:
    return PREFIX + base64.b64encode(data).decode()


def requests(
    routes: Sequence[tuple[str, str]], known: Mapping[str, str], valid: str
) -> st.SearchStrategy[FuzzedRequest]:
    """Requests to *routes* (method, path), whose parameters have the value in *known* half of the time."""
    schemes = st.sampled_from(["Bearer ", "FlyV1 ", "bearer  ", "Basic ", "", "Bearer ,,"])
    authorization = st.none() | st.none() | st.none() | st.builds(lambda a, b: a + b, schemes, tokens(valid))

    @st.composite
    def request(draw: Any) -> FuzzedRequest:
        method, path = draw(st.sampled_from(routes))
        if draw(st.integers(1, GRAPHQL_SHARE)) == 1:
            method, path = "POST", GRAPHQL
        given = {} if _takes_it(method, path) else known
        segments = [_segment(draw, part, given) for part in path.split("/")]
        query = draw(
            st.just("") | st.builds(lambda name, value: f"?{name}={_quoted(value)}", st.sampled_from(QUERY), text)
        )
        content = draw(bodies) if method in {"POST", "PATCH"} else b""
        headers, token = tuple(draw(extra_headers)), draw(authorization)
        random = {
            "token": token is not None,
            "name": "{" in path or query != "",
            "GraphQL": path == GRAPHQL,
            "body": content != b"" and path != GRAPHQL,
            "header": headers != (),
        }
        kinds = tuple(kind for kind, is_random in random.items() if is_random)
        return FuzzedRequest(method, "/".join(segments) + query, headers, content, token, kinds)

    return request()


def _segment(draw: Any, part: str, known: Mapping[str, str]) -> str:
    if not part.startswith("{"):
        return part
    name = part.strip("{}").partition(":")[0]
    if name in known and draw(st.booleans()):
        return known[name]
    return _quoted(draw(text))


def _quoted(value: str) -> str:
    return quote(value[:500], safe="", errors="surrogatepass")


def _takes_it(method: str, path: str) -> bool:
    ends = ("/restart", "/switchover", "/failover", "/restore", "/fork", "/backups", "/retry")
    return path.endswith(ends) or (method != "GET" and path.endswith(("/{cluster}", "/operations")))
