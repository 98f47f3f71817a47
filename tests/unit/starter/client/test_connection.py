"""Connection strings and the objects shown of a cluster."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ValidationError

from model.cluster import (
    UNKNOWN_PASSWORD,
    WRONG_MASTER_KEY,
    Address,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ClusterView,
    Condition,
    Database,
    Endpoint,
    OperationRef,
    PoolMode,
    Role,
    Tls,
    User,
)
from model.effects import Extension, InstalledExtension
from model.errors import InvalidInput, NotFound, NotYet, Refused
from model.facts import ConditionIs, apply
from model.operations import ChangePlanRequest, CreateClusterRequest, CreateUserRequest, SetPoolModeRequest
from model.plans import DEFAULT_PLANS
from model.secrets import derive_password
from model.validation import sentence, validated
from starter.client import shapes
from starter.client.connection import EndpointKind, connection_uri, read_master_key
from starter.client.submission import summary_line

KEY = b"k" * 32
ID = "abcdefgh01234567"


def view(*, host: str = "127.0.0.1", phase: ClusterPhase = ClusterPhase.READY, endpoint: bool = True) -> ClusterView:
    addresses = {kind: Address(host=host, port=20000 + n) for n, kind in enumerate(("pooled", "direct", "read_only"))}
    spec = ClusterSpec(
        id=ID,
        name="orders",
        org="personal",
        region="local",
        host="local",
        plan=DEFAULT_PLANS["basic"],
        users=(User(name="fly-user", role=Role.SCHEMA_ADMIN), User(name='ä"b c', role=Role.READER, password_version=3)),
        databases=(Database(name="fly-db"), Database(name='x=ü"')),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    end = Endpoint.model_validate({"container": "e", "address": "10.0.0.2", **addresses}) if endpoint else None
    return ClusterView(state=ClusterState(spec=spec, status=ClusterStatus(phase=phase, endpoint=end)))


@pytest.mark.parametrize(("kind", "port"), [("pooled", 20000), ("direct", 20001), ("read_only", 20002)])
def test_uri_leads_to_the_endpoint_asked_for(kind: str, port: int) -> None:
    uri = connection_uri(view().state, master_key=KEY, kind=EndpointKind(kind))
    assert uri == f"postgresql://fly-user:{derive_password(KEY, ID, 'fly-user')}@127.0.0.1:{port}/fly-db"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "db.example"])
def test_libpq_reads_back_what_was_meant(host: str) -> None:
    uri = connection_uri(view(host=host).state, master_key=KEY, user='ä"b c', database='x=ü"')
    assert conninfo_to_dict(uri) == {
        "host": host,
        "port": "20000",
        "user": 'ä"b c',
        "dbname": 'x=ü"',
        "password": derive_password(KEY, ID, 'ä"b c', 3),
    }


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NotFound, match="no user 'ghost'"):
        connection_uri(view().state, master_key=KEY, user="ghost")
    with pytest.raises(NotFound, match="no database 'ghost'"):
        connection_uri(view().state, master_key=KEY, database="ghost")
    with pytest.raises(NotYet, match="no endpoint yet"):
        connection_uri(view(endpoint=False).state, master_key=KEY)


def test_no_password_is_shown_of_a_cluster_with_another_master_key() -> None:
    told = Condition(type=WRONG_MASTER_KEY, status=True, since=datetime(2026, 1, 1, tzinfo=UTC), message="Another key.")
    state = apply(view().state, [ConditionIs(condition=told)])
    with pytest.raises(Refused, match="Another key"):
        connection_uri(state, master_key=KEY)


def test_client_never_makes_a_master_key(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There is no master key"):
        read_master_key(tmp_path / "master.key")
    assert list(tmp_path.iterdir()) == []


def test_cluster_has_the_fields_that_clients_look_for() -> None:
    shown = shapes.cluster(view()).model_dump(mode="json", by_alias=True)
    assert shown["mpgd_cluster_id"] == shown["id"] == ID
    assert shown["engine"] == "postgres"
    assert shown["version"] == 2
    assert shown["organization"]["slug"] == "personal"
    assert shown["ip_assignments"] == {"direct": "127.0.0.1"}
    assert shown["attached_apps"] == []


def test_ready_cluster_with_an_operation_is_updating() -> None:
    busy = OperationRef(id="o", run_id="r", type="ChangePlan", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert shapes.cluster(view()).status == "ready"
    assert shapes.cluster(view().model_copy(update={"operation": busy})).status == "updating"
    initial = view(phase=ClusterPhase.INITIALIZING).model_copy(update={"operation": busy})
    assert shapes.cluster(initial).status == "initializing"


def test_credentials_are_empty_until_there_is_an_endpoint() -> None:
    assert shapes.credentials(view(phase=ClusterPhase.INITIALIZING, endpoint=False), KEY).pgbouncer_uri == ""
    own = shapes.credentials(view(), KEY)
    assert (own.status, own.user, own.dbname) == ("ready", "fly-user", "fly-db")
    assert own.password in own.pgbouncer_uri


def test_extension_has_the_wire_s_schema() -> None:
    found = Extension(
        name="vector", description="d", docs_url="u", default_version="1", is_system=False,
        installed=InstalledExtension(version="1", schema_name="public"),
    )  # fmt: skip
    shown = shapes.extension(found).model_dump(mode="json", by_alias=True)
    assert shown["installed"] == {"version": "1", "schema": "public"}


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        (SetPoolModeRequest, {"pool_mode": "x"}, "Pool mode 'x' is not one: it is session or transaction."),
        (SetPoolModeRequest, {}, "The request lacks 'pool_mode'."),
        (ChangePlanRequest, {"plan": "basic", "plam": 1}, "The request has an unknown field 'plam'."),
        (
            CreateUserRequest,
            {"username": "u", "role": None},
            "Role None is not one: it is schema_admin, writer or reader.",
        ),
        (CreateClusterRequest, {"name": "x", "storage_gb": "big"}, "Storage gb 'big' is not possible: "),
    ],
)
def test_what_is_wrong_is_one_sentence(model: type[BaseModel], fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"cluster_id": ID, **fields})
    assert sentence(caught.value).startswith(said)
    with pytest.raises(InvalidInput):
        validated(model, cluster_id=ID, **fields)


def test_summary_is_one_line_without_secrets() -> None:
    create = CreateClusterRequest(cluster_id=ID, name="orders")
    assert summary_line(create, "orders") == "Create cluster orders, plan basic, in local"
    user = CreateUserRequest(cluster_id=ID, username="app", role=Role.WRITER)
    assert summary_line(user, "orders") == "Create user app writer on orders"
    mode = SetPoolModeRequest(cluster_id=ID, pool_mode=PoolMode.SESSION)
    assert summary_line(mode, "orders") == "Set pool mode of orders to session"


def test_password_that_is_not_known_is_not_made_up() -> None:
    found = view()
    users = (User(name="fly-user", role=Role.SCHEMA_ADMIN, password_version=UNKNOWN_PASSWORD),)
    spec = found.state.spec.model_copy(update={"users": users})
    found = found.model_copy(update={"state": found.state.model_copy(update={"spec": spec})})
    with pytest.raises(Refused, match=r"Give it a new one with 'mpg users rotate-password .* -u fly-user'"):
        connection_uri(found.state, master_key=KEY)
    assert shapes.credentials(found, KEY).password == ""


def test_uri_that_verifies_names_the_authoritys_file(tmp_path: Path) -> None:
    ca_file = tmp_path / "a state directory" / "ca.crt"
    state = view().state
    with pytest.raises(Refused, match="before there was TLS"):
        connection_uri(state, master_key=KEY, ca_file=ca_file)
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"tls": Tls.OFFERED})})
    with pytest.raises(Refused, match="to verify certificates with"):
        connection_uri(state, master_key=KEY, ca_file=ca_file)
    ca_file.parent.mkdir()
    ca_file.write_text("")
    found = conninfo_to_dict(connection_uri(state, master_key=KEY, ca_file=ca_file))
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", str(ca_file))
