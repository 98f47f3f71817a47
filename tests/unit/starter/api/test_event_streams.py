"""Event streams: who is admitted, and what an event looks like on them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from model.events import Event, EventKind
from starter.api.own import events
from starter.client.events import Delivered
from starter.tokens.caller import Caller
from starter.tokens.grants import only_cluster, validity
from starter.tokens.keyring import Keyring
from starter.tokens.macaroon import attenuate


def admission(keyring: Keyring, *tokens: str) -> Any:
    request = SimpleNamespace(
        app=SimpleNamespace(state=SimpleNamespace(keyring=keyring)),
        headers={"authorization": f"Bearer {','.join(tokens)}"},
    )
    call = SimpleNamespace(caller=Caller(tuple(keyring.verify(token) for token in tokens)))
    return events._admission(cast("Any", request), cast("Any", call))  # pyright: ignore[reportPrivateUsage]


def test_a_revoked_token_is_noticed_when_the_record_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring(tmp_path)
    issued, other = keyring.issue(), keyring.issue()
    admitted = admission(keyring, keyring.text(issued))
    assert admitted()
    keyring.revoke(other.id)
    assert admitted()
    keyring.revoke(issued.id)
    monkeypatch.setattr(events, "LOOKED_FOR_S", 0.0)
    assert not admitted()
    assert not admitted()


def test_an_expired_token_is_noticed_when_it_is_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    keyring = Keyring(tmp_path, clock=lambda: now)
    admitted = admission(keyring, keyring.text(keyring.issue(expires_in_s=10)))
    assert admitted()
    now += 11
    monkeypatch.setattr(events, "VERIFIED_FOR_S", 0.0)
    monkeypatch.setattr(events, "LOOKED_FOR_S", 0.0)
    assert not admitted()


def test_an_event_is_written_once_and_another_one_with_its_id_is_not_taken_for_it() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = Delivered("e-1", Event(kind=EventKind.CLUSTER_STATUS, at=at, cluster="orders"))
    text = events.as_text(first)
    assert text.startswith("id: e-1\nevent: cluster.status\ndata: {")
    assert text.endswith("}\n\n")
    assert json.loads(text.splitlines()[2].removeprefix("data: "))["cluster"] == "orders"
    assert events.as_text(first) is text
    assert "reset" in events.as_text(Delivered("e-1", Event(kind=EventKind.RESET, at=at)))


def test_a_token_that_is_left_does_not_stand_in_for_a_wider_one_of_the_same_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    keyring = Keyring(tmp_path, clock=lambda: now)
    root = keyring.text(keyring.issue())
    wide, narrow = attenuate(root, [validity(0, int(now) + 10)]), attenuate(root, [only_cluster("a" * 16)])
    admitted = admission(keyring, wide, narrow)
    assert admitted()
    now += 11
    monkeypatch.setattr(events, "VERIFIED_FOR_S", 0.0)
    monkeypatch.setattr(events, "LOOKED_FOR_S", 0.0)
    assert not admitted()
