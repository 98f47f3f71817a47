"""What `mpg create` and `mpg status` show of a cluster."""

from typing import TYPE_CHECKING

from model.base import Record
from model.cluster import Address, ClusterView
from starter.cli.output import print_fields, print_table
from starter.client.connection import EndpointKind, connection_uri, read_master_key
from starter.client.shapes import BackupsShape, ClusterStatusShape, Credentials, ProofShape, cluster_status, credentials

if TYPE_CHECKING:
    from model.settings import Settings


MOMENT = "%Y-%m-%d %H:%M:%S"
"""How moments are shown; all are in UTC."""


class ConnectionUris(Record):
    """The connection strings of the cluster's own user, by endpoint."""

    pooled: str
    direct: str
    read_only: str


class Created(ClusterStatusShape):
    """A cluster that was just made, with how to connect to it."""

    credentials: Credentials
    connection_uris: ConnectionUris


def created(view: ClusterView, settings: "Settings") -> Created:
    """Return the new cluster with its connection strings."""
    key = read_master_key(settings.master_key_file)
    uris = {kind.value: connection_uri(view.state, master_key=key, kind=kind) for kind in EndpointKind}
    return Created(
        **dict(cluster_status(view)),
        credentials=credentials(view, key),
        connection_uris=ConnectionUris(**uris),
    )


def show_created(made: Record) -> None:
    """Print the new cluster's id, its connection strings and the commands that come next."""
    assert isinstance(made, Created)
    print(f"Cluster {made.name} is ready, plan {made.plan}.")
    print_fields(
        [
            ("id", made.id),
            ("pooled", made.connection_uris.pooled),
            ("direct", made.connection_uris.direct),
            ("read-only", made.connection_uris.read_only),
        ]
    )
    print(f"Connect with: mpg connect {made.name}")
    print(f"See it with:  mpg status {made.name}")


def show_status(found: ClusterStatusShape) -> None:
    """Print a cluster as tables."""
    print_fields([*_facts(found), *_backup_facts(found.backups)])
    if found.endpoints:
        ends = found.endpoints
        pairs = (("pooled", ends.pooled), ("direct", ends.direct), ("read-only", ends.read_only))
        print_table(["endpoint", "address"], [(name, _at(address)) for name, address in pairs])
    if found.nodes:
        print_table(
            ["node", "role", "status", "plan", "CPUs", "memory", "timeline", "lag", "in sync", "container"],
            [
                (
                    n.name,
                    n.role,
                    n.status,
                    n.plan,
                    n.cpus,
                    f"{n.memory_mb} MB",
                    n.timeline,
                    None if n.lag_bytes is None else f"{n.lag_bytes} B",
                    None if n.in_sync is None else "yes" if n.in_sync else "no",
                    n.container,
                )
                for n in found.nodes
            ],
        )
    if found.poolers:
        print_table(
            ["pooler", "status", "pool mode", "container"],
            [(p.name, p.status, p.pool_mode, p.container) for p in found.poolers],
        )
    if found.conditions:
        print_table(
            ["condition", "status", "since", "message"],
            [(c.type, c.status, f"{c.since:{MOMENT}}", c.message) for c in found.conditions],
        )


def _facts(found: ClusterStatusShape) -> list[tuple[str, object]]:
    operation = found.operation
    running = f"{operation.id} since {operation.started_at:%H:%M:%S}, {operation.phase}" if operation else None
    return [
        ("name", found.name),
        ("id", found.id),
        ("status", found.status),
        ("plan", found.plan),
        ("organization", found.organization.slug),
        ("region", found.region),
        ("Postgres", found.pg_major_version),
        ("pool mode", found.pool_mode),
        ("durability", found.durability),
        ("disk", f"{found.disk} GB per node" + _used(found)),
        ("operation", running and running.rstrip(", ")),
    ]


def _backup_facts(found: BackupsShape | None) -> list[tuple[str, object]]:
    if found is None:
        return []
    last, window, running, failed = found.last, found.window, found.running, found.failed
    until = None if window is None else "now" if window.until is None else f"{window.until:{MOMENT}}"
    rows: list[tuple[str, object]] = [
        ("last backup", last and f"{last.id}, {last.type}, {last.stop or last.start:{MOMENT}}"),
        ("archiving", "works" if found.archiving else "fails"),
        ("window", window and f"{window.since:{MOMENT}} – {until}"),
    ]
    for lost in window.lost if window else ():
        ends = f"{lost.until:{MOMENT}}" if lost.until else "the next backup"
        rows.append(("not in it", f"{lost.since:{MOMENT}} – {ends}: WAL is lost"))
    if found.proof:
        rows.append(("last drill", _drill(found.proof)))
    if running:
        rows.append(("backup", f"{running.id} ({running.type}) since {running.start:{MOMENT}}"))
    if failed:
        rows.append(("failed backup", f"{failed.type}, {failed.at:{MOMENT}}: {failed.message}"))
    return rows


def _drill(proof: ProofShape) -> str:
    if proof.fault:
        return f"{proof.backup_id} failed, {proof.at:{MOMENT}}: {proof.fault}"
    took = f"restored in {proof.recovery_seconds or 0:.1f} s"
    return f"{proof.backup_id} proven, {proof.at:{MOMENT}}: {(proof.restored_bytes or 0) / 2**20:.1f} MB {took}"


def _used(found: ClusterStatusShape) -> str:
    used = found.storage_used_bytes
    return "" if used is None else f", {100 * used / found.storage_provisioned_bytes:.0f} % used"


def _at(address: Address) -> str:
    return f"{address.host}:{address.port}"
