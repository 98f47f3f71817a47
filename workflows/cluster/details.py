"""A cluster as Temporal's page shows it: the "current details" of its workflow, in Markdown."""

from model.cluster import Address, ClusterState, Node, NodePhase, NodeRole


def details(state: ClusterState) -> str:
    """Return what a person wants to know of a cluster at first: how it is, what is wrong, where it is, what it has."""
    spec, status = state.spec, state.status
    lines = [
        f"**{status.phase}**, plan {spec.plan.name}, {spec.pool_mode} mode, PostgreSQL {spec.pg_major_version}",
        "",
    ]
    for each in status.conditions:
        lines.append(f"- ⚠ **{each.type}** since {each.since:%Y-%m-%d %H:%M} UTC: {each.message}")
    lines += [f"- node {node.name}: {_node(node)}" for node in status.nodes]
    if status.endpoint is not None:
        addresses = {
            "pooled": status.endpoint.pooled,
            "direct": status.endpoint.direct,
            "read-only": status.endpoint.read_only,
        }
        lines.append("- " + ", ".join(f"{name} `{_address(each)}`" for name, each in addresses.items()))
    lines += [
        f"- storage {spec.storage_gb} GB for each node, durability {spec.durability}",
        "- databases: " + (", ".join(each.name for each in spec.databases) or "none"),
        "- users: " + (", ".join(f"{each.name} ({each.role})" for each in spec.users) or "none"),
    ]
    return "\n".join(lines)


def _node(node: Node) -> str:
    said = [str(node.role), f"plan {node.plan}"]
    if node.phase is not NodePhase.RUNNING:
        said.insert(1, str(node.phase))
    elif node.role is NodeRole.REPLICA:
        said.insert(1, "in sync" if node.in_sync else "not in sync")
    return ", ".join(said)


def _address(address: Address) -> str:
    return f"{address.host}:{address.port}"
