"""Which clusters are waited for, and for how long: here nothing answers at their addresses."""

import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.cluster import Address, ClusterPhase, ClusterState, ClusterView
from model.master_key import load_or_create_master_key
from model.settings import Settings, load_settings
from starter.cli.app import app
from starter.stack.embedded import StackState, Started
from starter.stack.serving import await_serving
from starter.stack.state import initial_status
from tests.workflows.samples import ready_cluster


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(home=tmp_path, temporal_port=1)
    load_or_create_master_key(settings.master_key_file)
    return settings


@pytest.fixture
def address() -> Iterator[Address]:
    """An address that accepts and never answers, as the poolers' while they have no server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Address(host="127.0.0.1", port=listener.getsockname()[1])


def cluster(
    name: str, address: Address, *, org: str = "personal", phase: ClusterPhase = ClusterPhase.READY
) -> ClusterView:
    state = ready_cluster()
    assert state.status.endpoint is not None
    everywhere = {"pooled": address, "direct": address, "read_only": address}
    endpoint = state.status.endpoint.model_copy(update=everywhere)
    spec = state.spec.model_copy(update={"name": name, "org": org})
    status = state.status.model_copy(update={"endpoint": endpoint, "phase": phase})
    return ClusterView(state=ClusterState(spec=spec, status=status))


def never(name: str, seconds: float) -> None:
    raise AssertionError(f"{name} served after {seconds} s")


def with_unknown_password(view: ClusterView) -> ClusterView:
    spec = view.state.spec
    users = tuple(user.model_copy(update={"password_version": 0}) for user in spec.users)
    state = view.state.model_copy(update={"spec": spec.model_copy(update={"users": users})})
    return view.model_copy(update={"state": state})


def test_up_names_clusters_that_do_not_serve_and_is_done_all_the_same(
    settings: Settings, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Listing:
        async def clusters_of_host(self) -> list[ClusterView]:
            return [cluster("orders", address), cluster("stock", address)]

    @asynccontextmanager
    async def connect(_settings: Settings) -> AsyncGenerator[Listing]:
        yield Listing()

    async def start(_settings: Settings) -> Started:
        return Started(initial_status(settings, StackState.UP), already_up=False)

    monkeypatch.setenv("MPG_HOME", str(settings.home))
    monkeypatch.setattr("starter.stack.embedded.start_detached", start)
    monkeypatch.setattr("starter.client.mpg_client.MpgClient.connect", connect)
    monkeypatch.setattr("starter.stack.serving.SERVING_SECONDS", 0.1)
    ended = CliRunner().invoke(app, ["up", "--detach"])
    assert ended.exit_code == 0
    assert ended.stdout.startswith("The stack is up.\n")
    assert ended.stderr.splitlines() == [
        "Waiting for cluster orders, which does not serve yet.",
        "Waiting for cluster stock, which does not serve yet.",
        "Clusters orders, stock do not serve after 0.1 s; 'mpg status NAME' says more.",
    ]


async def test_clusters_that_do_not_answer_are_waited_for_once_each_and_named(
    settings: Settings, address: Address
) -> None:
    told: list[str] = []
    views = [cluster("orders", address), cluster("stock", address, org="acme")]
    assert await await_serving(settings, views, told.append, never, seconds=0.1) == ["orders", "acme/stock"]
    assert told == ["orders", "acme/stock"]


async def test_nobody_waits_for_what_time_does_not_mend_or_what_cannot_be_asked(
    settings: Settings, address: Address
) -> None:
    told: list[str] = []
    views = [
        cluster("broken", address, phase=ClusterPhase.NEEDS_OPERATOR),
        cluster("new", address, phase=ClusterPhase.INITIALIZING),
        with_unknown_password(cluster("adopted", address)),
    ]
    assert await await_serving(settings, views, told.append, never, seconds=60) == []
    assert told == []
