"""Examples in the API's description: what somebody would really send."""

from collections.abc import Mapping

CLUSTER_ID = "q3v8k2m1x7c9b4n6"

PARAMETERS: Mapping[str, str] = {
    "org": "personal",
    "cluster": CLUSTER_ID,
    "username": "app",
    "database": "shop",
    "extension": "vector",
    "statement": "4719281650937264851",
    "operation": "change-plan/orders/ticket-4711",
    "webhook": "wh_0f1e2d3c4b5a6978",
    "delivery": "evt_5d41402abc4b2a76b9719d911017c592",
}
"""Of paths, by their names."""

_USER = {"username": "app", "role": "writer"}
_ROLE = {"role": "reader"}
_DATABASE = {"name": "shop"}
_REST = "/api/v1/postgresv2/{cluster}"
_MACHINES = "/v1/postgres/{cluster}"

BODIES: Mapping[tuple[str, str], object] = {
    ("post", "/api/v1/organizations/{org}/postgresv2"): {
        "name": "orders",
        "region": "local",
        "plan": "basic",
        "pg_major_version": "17",
        "storage_in_gb": 10,
    },
    ("patch", _REST): {"plan": "starter"},
    ("post", f"{_REST}/operations"): {"operation": "ChangePlan", "plan": "starter", "max_pause_s": 10},
    ("post", f"{_REST}/users"): _USER,
    ("patch", f"{_REST}/users/{{username}}"): _ROLE,
    ("post", f"{_REST}/databases"): _DATABASE,
    ("post", f"{_REST}/databases/{{database}}/extensions"): {
        "name": "vector",
        "schema": "ai",
        "create_schema_if_needed": True,
    },
    ("post", f"{_REST}/backups"): {"type": "full"},
    ("post", f"{_REST}/restore"): {"pitr_time": "2026-11-28T09:30:00Z", "name": "orders-restored"},
    ("post", f"{_REST}/attachments"): {"app_name": "shop"},
    ("post", "/v1/postgres"): {"org_slug": "personal", "name": "orders", "plan": "basic", "region": "local"},
    ("post", f"{_MACHINES}/users"): _USER,
    ("patch", f"{_MACHINES}/users/{{username}}"): _ROLE,
    ("post", f"{_MACHINES}/users/{{username}}/rotate_password"): {"kill_sessions": False},
    ("post", f"{_MACHINES}/databases"): _DATABASE,
    ("post", f"{_MACHINES}/databases/{{database}}/extensions"): {"name": "hstore"},
    ("post", f"{_MACHINES}/backups"): {"type": "full"},
    ("post", f"{_MACHINES}/restore"): {"pitr_time": "2026-11-28T09:30:00Z", "name": "orders-restored"},
    ("post", f"{_MACHINES}/fork"): {"name": "orders-fork"},
    ("post", f"{_MACHINES}/attachments"): {"app_name": "shop"},
    ("post", "/api/v1/organizations/{org}/webhooks"): {
        "url": "https://example.com/hooks",
        "events": ["failover", "condition.raised"],
    },
    ("post", "/api/v1/organizations/{org}/webhooks/{webhook}/replay"): {"since": "2026-11-28T09:30:00Z"},
    ("post", "/graphql"): {
        "query": "query($slug: String!) { mine: organization(slug: $slug) { id name } }",
        "variables": {"slug": "personal"},
    },
}
"""By method and path. Routes that this installation does not have are passed over."""
