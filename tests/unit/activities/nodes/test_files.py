"""A node's configuration files, rendered from its spec."""

import re

from activities.nodes.files import node_files, pg_hba, pgpass, postgresql_conf, standby_files
from model.backups import Repository, RepositoryKind
from model.cluster import Network, NodeRole, Tls
from model.effects import Bootstrap, NodeSpec
from model.names import SUPERUSER
from model.plans import Resources
from model.secrets import derive_password

KEY = b"k" * 32
NETWORK = Network(name="mpg-x", subnet="10.9.0.16/28", gateway="10.9.0.17")


def _spec(role: NodeRole = NodeRole.PRIMARY, memory_mb: int = 1024) -> NodeSpec:
    return NodeSpec(
        cluster_id="abcdefgh12345678",
        cluster_name="orders",
        name="b",
        role=role,
        plan="basic",
        resources=Resources(cpus=2, memory_mb=memory_mb),
        image="mpg-node:17",
        network=NETWORK,
        primary_address="10.9.0.19" if role is NodeRole.REPLICA else None,
    )


def _settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = '(.*)'$", text, re.MULTILINE))


def test_settings_follow_the_nodes_memory() -> None:
    assert _settings(postgresql_conf(_spec(memory_mb=8192)))["shared_buffers"] == "2048MB"
    assert _settings(postgresql_conf(_spec()))["shared_buffers"] == "256MB"


def test_only_a_replica_has_somebody_to_follow() -> None:
    assert "primary_conninfo" not in postgresql_conf(_spec())
    conninfo = _settings(postgresql_conf(_spec(NodeRole.REPLICA)))["primary_conninfo"]
    assert "host=10.9.0.19" in conninfo
    assert "application_name=b" in conninfo
    assert "password" not in conninfo


def test_rules_are_scram_or_reject_and_nothing_else() -> None:
    methods = {line.split()[-1] for line in pg_hba(NETWORK).splitlines()}
    assert methods == {"scram-sha-256", "reject"}


def test_superuser_may_come_from_the_gateway_and_from_nowhere_else() -> None:
    lines = [line.split() for line in pg_hba(NETWORK).splitlines() if line.split()[2] == SUPERUSER]
    assert [(line[3], line[4]) for line in lines] == [("10.9.0.17/32", "scram-sha-256"), ("all", "reject")]


def test_replication_is_for_nodes_and_lookups_for_the_endpoint() -> None:
    lines = [line.split() for line in pg_hba(NETWORK).splitlines()]
    replicating = {line[3] for line in lines if line[2] == "mpg_replicator" and line[4] != "reject"}
    looking_up = {line[3] for line in lines if line[2] == "mpg_pooler" and line[4] != "reject"}
    assert (replicating, looking_up) == ({"10.9.0.19/32", "10.9.0.20/32"}, {"10.9.0.18/32"})


def test_files_are_private_and_the_first_password_is_there_only_for_initdb() -> None:
    kept = node_files(_spec(), KEY, Bootstrap.KEEP)
    made = node_files(_spec(), KEY, Bootstrap.INIT)
    assert {file.mode for file in made.values()} == {0o600}
    assert {path.rpartition("/")[2] for path in set(made) - set(kept)} == {"bootstrap-password"}
    password = derive_password(KEY, "abcdefgh12345678", SUPERUSER)
    assert not any(password in file.content.decode() for file in kept.values())


def test_passfile_serves_whichever_node_is_the_primary() -> None:
    assert pgpass("p") == "*:*:*:mpg_replicator:p\n"


def test_standby_forgets_settings_of_its_time_as_a_primary() -> None:
    assert {path.rpartition("/")[2]: file.content for path, file in standby_files().items()} == {
        "standby.signal": b"",
        "postgresql.auto.conf": b"",
    }


def test_a_node_archives_only_where_it_has_a_repository() -> None:
    with_one = _spec().model_copy(
        update={"repository": Repository(kind=RepositoryKind.VOLUME, key_id="0123456789abcdef")}
    )
    assert "archive_mode" not in _settings(postgresql_conf(_spec()))
    assert _settings(postgresql_conf(with_one))["archive_mode"] == "on"
    assert " peer" not in pg_hba(NETWORK)
    assert pg_hba(NETWORK, backups=True).count(" peer") == 1


def test_replica_of_a_cluster_with_tls_insists_on_it_and_on_who_is_at_its_other_end():
    conninfo = _settings(postgresql_conf(_spec(NodeRole.REPLICA)))["primary_conninfo"]
    assert "sslmode" not in conninfo
    spec = _spec(NodeRole.REPLICA).model_copy(update={"tls": Tls.OFFERED})
    conninfo = _settings(postgresql_conf(spec))["primary_conninfo"]
    assert "sslmode=require channel_binding=require" in conninfo


def test_what_comes_through_the_endpoint_without_tls_is_refused_first_where_that_is_asked():
    assert "hostnossl" not in pg_hba(NETWORK, tls=Tls.OFFERED)
    first, *others = pg_hba(NETWORK, tls=Tls.REQUIRED).splitlines()
    assert first.split() == ["hostnossl", "all", "all", "10.9.0.18/32", "reject"]
    assert others == pg_hba(NETWORK).splitlines()
