"""The digest by which a container is compared with what it should be."""

from activities.engine.labels import node_digest
from model.backups import Repository, RepositoryKind
from model.cluster import Network, NodeRole, Tls
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


def test_node_of_before_backups_and_bounds_on_wal_is_not_made_again() -> None:
    assert node_digest(SPEC, 1) == BEFORE_BACKUPS


def test_tls_makes_no_other_container() -> None:
    assert node_digest(SPEC.model_copy(update={"tls": Tls.REQUIRED}), 1) == BEFORE_BACKUPS


def test_repository_makes_another_container() -> None:
    repository = Repository(kind=RepositoryKind.VOLUME, key_id="0123456789abcdef")
    assert node_digest(SPEC.model_copy(update={"repository": repository}), 1) != BEFORE_BACKUPS


def test_bound_on_wal_makes_another_container() -> None:
    assert node_digest(SPEC.model_copy(update={"wal_mb": 128}), 1) != BEFORE_BACKUPS
