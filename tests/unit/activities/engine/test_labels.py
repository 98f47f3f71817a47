"""The digest by which a container is compared with what it should be."""

from activities.engine.labels import node_digest
from model.backups import Repository, RepositoryKind
from model.cluster import Network, NodeRole
from model.effects import NodeSpec
from model.plans import Resources

SPEC = NodeSpec(
    cluster_id="a" * 16,
    cluster_name="shop",
    name="a",
    role=NodeRole.PRIMARY,
    plan="basic",
    resources=Resources(cpus=1, memory_mb=512),
    image="mpg-node:17",
    network=Network(name="n", subnet="10.0.0.0/28", gateway="10.0.0.1"),
)
BEFORE_BACKUPS = "e2a5e5f3ab5e29fd"
"""Of that spec, by version 0.1.0."""


def test_a_node_of_a_cluster_without_backups_is_not_made_anew() -> None:
    assert node_digest(SPEC, 1) == BEFORE_BACKUPS


def test_a_repository_is_another_container() -> None:
    repository = Repository(kind=RepositoryKind.VOLUME, key_id="0123456789abcdef")
    assert node_digest(SPEC.model_copy(update={"repository": repository}), 1) != BEFORE_BACKUPS
