"""Requests: their ids, and what is wrong with those that do not fit."""

import pytest

from model.errors import InvalidInput
from model.operations import (
    HEALING,
    REQUESTS,
    ChangePlanRequest,
    CreateClusterRequest,
    CreateUserRequest,
    GrowStorageRequest,
    workflow_id,
)
from model.validation import validated
from workflows.cluster.cluster import Cluster
from workflows.cluster.kept import KeptBackups
from workflows.cluster.name import ClusterName
from workflows.operations.find_clusters import FindClusters
from workflows.operations.read_backups import ReadBackups
from workflows.operations.read_queries import ReadQueries, SignalSession
from workflows.registry import WORKFLOWS
from workflows.webhooks.delivery import WebhookDelivery
from workflows.webhooks.webhooks import Webhooks

ID = "0123456789abcdef"


def test_workflow_id_is_readable():
    request = ChangePlanRequest(cluster_id=ID, plan="launch")
    assert workflow_id(request, "orders", "5f3c") == "change-plan/orders/5f3c"


NO_OPERATIONS = {
    Cluster,
    ClusterName,
    FindClusters,
    KeptBackups,
    ReadBackups,
    ReadQueries,
    SignalSession,
    WebhookDelivery,
    Webhooks,
}


def test_every_request_has_its_workflow():
    assert {workflow.__name__ for workflow in WORKFLOWS if workflow not in NO_OPERATIONS} == set(REQUESTS) | HEALING


@pytest.mark.parametrize("cls", REQUESTS.values(), ids=lambda cls: cls.__name__)
def test_request_is_named_after_its_workflow(cls: type):
    assert cls.__name__ == f"{cls.operation}Request"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Orders"}, "Cluster name 'Orders' is not allowed"),
        ({"name": "o" * 49}, "is not allowed"),
        ({"name": "orders", "storage_gb": 0}, "Storage of 0 GB is not possible: 1 to 500 GB at creation."),
        ({"name": "orders", "storage_gb": 501}, "Storage of 501 GB"),
        ({"name": "orders", "pool_mode": "statement"}, "session or transaction"),
        ({"name": "orders", "host": "-x"}, "Host '-x' is not one"),
        ({}, "The request lacks 'name'."),
        ({"name": "orders", "plan_name": "x"}, "unknown field 'plan_name'"),
    ],
)
def test_creation_that_does_not_fit(fields: dict[str, object], said: str):
    with pytest.raises(InvalidInput, match=said):
        validated(CreateClusterRequest, cluster_id=ID, **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Say to how many GB"),
        ({"storage_gb": 0}, "Storage of 0 GB is not possible: not less than it has, up to 1000 GB in all."),
        ({"storage_gb": 1001}, "Storage of 1001 GB"),
        ({"auto_grow_step_gb": 5}, "both a step and the most"),
        ({"auto_grow_step_gb": 0, "auto_grow_max_gb": 50}, "both a step and the most"),
        ({"storage_gb": 20, "auto_grow_max_gb": 50}, "both a step and the most"),
        ({"auto_grow_step_gb": -1, "auto_grow_max_gb": 50}, "A step of -1 GB is not possible"),
        ({"auto_grow_step_gb": 5, "auto_grow_max_gb": 1001}, "Storage of 1001 GB"),
    ],
)
def test_growth_that_does_not_fit(fields: dict[str, object], said: str):
    with pytest.raises(InvalidInput, match=said):
        validated(GrowStorageRequest, cluster_id=ID, **fields)


@pytest.mark.parametrize("name", ['a"b', "a-b", "ä", "Amy", "x" * 63])
def test_usernames_that_postgres_can_quote_are_fine(name: str):
    assert validated(CreateUserRequest, cluster_id=ID, username=name, role="reader").username == name


@pytest.mark.parametrize("name", ["", "a b", "postgres", "pg_x", "mpg_x", "pgbouncer", "x" * 64, "a/b", "ä" * 32])
def test_usernames_that_are_not_possible(name: str):
    with pytest.raises(InvalidInput):
        validated(CreateUserRequest, cluster_id=ID, username=name, role="reader")
