"""What webhooks are told of, how deliveries are signed, and where they may go."""

import ipaddress
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model.events import Event, EventCondition, EventKind, EventOperation
from model.operations import OperationOutcome, Step, StepStatus
from model.secrets import webhook_secret
from model.webhooks import (
    ID_HEADER,
    PAUSES,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    AddWebhookRequest,
    WebhookEvent,
    body,
    check_scheme,
    delivered,
    event_id,
    is_tried_again,
    may_be_called,
    origin,
    pause_after,
    sign,
    told_as,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = b"k" * 32


PROMOTED = (Step(name="fence a and promote b", status=StepStatus.DONE),)
IN_PLACE = (
    Step(name="fence a and promote b", status=StepStatus.FAILED),
    Step(name="start a in place", status=StepStatus.DONE),
)


def of_operation(
    kind: EventKind,
    type: str,
    status: OperationOutcome = OperationOutcome.DONE,
    steps: tuple[Step, ...] = (),
) -> Event:
    operation = EventOperation(id=f"{type}/orders/1", type=type, status=status, steps=steps)
    return Event(kind=kind, at=AT, organization="shop", cluster_id="c1", cluster="orders", operation=operation)


def of_condition(kind: EventKind, type: str = "archive_failing", at: datetime = AT) -> Event:
    condition = EventCondition(type=type)
    return Event(kind=kind, at=at, organization="shop", cluster_id="c1", cluster="orders", condition=condition)


ENDED, BEGUN = EventKind.OPERATION_ENDED, EventKind.OPERATION_BEGUN


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (of_operation(ENDED, "ChangePlan"), (WebhookEvent.OPERATION_ENDED,)),
        (of_operation(ENDED, "Failover", steps=PROMOTED), (WebhookEvent.OPERATION_ENDED, WebhookEvent.FAILOVER)),
        (of_operation(ENDED, "ForcedFailover", steps=PROMOTED), (WebhookEvent.OPERATION_ENDED, WebhookEvent.FAILOVER)),
        (of_operation(ENDED, "Failover", steps=IN_PLACE), (WebhookEvent.OPERATION_ENDED,)),
        (of_operation(ENDED, "Switchover", steps=PROMOTED), (WebhookEvent.OPERATION_ENDED,)),
        (of_operation(ENDED, "Failover", OperationOutcome.FAILED, PROMOTED), (WebhookEvent.OPERATION_ENDED,)),
        (of_operation(BEGUN, "Failover", OperationOutcome.RUNNING), ()),
        (of_condition(EventKind.CONDITION_RAISED), (WebhookEvent.CONDITION_RAISED,)),
        (of_condition(EventKind.CONDITION_LIFTED), (WebhookEvent.CONDITION_LIFTED,)),
        (Event(kind=EventKind.RESET, at=AT), ()),
    ],
)
def test_only_ends_failovers_and_conditions_are_told(event: Event, told: tuple[WebhookEvent, ...]) -> None:
    assert told_as(event) == told


def test_end_of_an_operation_has_one_id_whenever_it_was_seen() -> None:
    event = of_operation(ENDED, "Failover")
    later = event.model_copy(update={"at": AT + timedelta(minutes=1)})
    ended = event_id(WebhookEvent.OPERATION_ENDED, event)
    assert ended == event_id(WebhookEvent.OPERATION_ENDED, later)
    assert ended != event_id(WebhookEvent.FAILOVER, event)


def test_condition_that_is_raised_again_has_another_id() -> None:
    events = [
        of_condition(EventKind.CONDITION_RAISED),
        of_condition(EventKind.CONDITION_RAISED, at=AT + timedelta(seconds=1)),
        of_condition(EventKind.CONDITION_RAISED, type="storage_full"),
        of_condition(EventKind.CONDITION_LIFTED),
    ]
    assert len({event_id(told_as(event)[0], event) for event in events}) == len(events)


def test_body_says_what_happened_and_when_it_was_seen() -> None:
    event = of_operation(ENDED, "Failover")
    told = json.loads(body(WebhookEvent.FAILOVER, event, 7))
    assert told["sequence"] == 7
    assert told["type"] == "failover"
    assert datetime.fromisoformat(told["timestamp"]) == AT
    assert told["data"]["operation"]["id"] == "Failover/orders/1"
    assert not {"condition", "kind", "at"} & set(told["data"])
    assert body(WebhookEvent.FAILOVER, event, 7) == body(WebhookEvent.FAILOVER, event.model_copy(), 7)


def test_signature_is_that_of_the_specification() -> None:
    """The specification's own example: other libraries verify what is signed here."""
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_page_verifies_what_is_signed_and_nothing_else() -> None:
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    shown: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], shown)
    secret, now = webhook_secret(KEY, "shop", "w1"), int(time.time())

    def headers(timestamp: int) -> dict[str, str]:
        return {
            ID_HEADER: "evt_1",
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: f"v1,{'A' * 44} {sign(secret, 'evt_1', timestamp, b'{}')}",
        }

    shown["verify"](secret, headers(now), b"{}")
    for wrong in ((secret, headers(now), b"[]"), (secret, headers(now - 600), b"{}")):
        with pytest.raises(ValueError):
            shown["verify"](*wrong)
    with pytest.raises(ValueError, match="not signed"):
        shown["verify"](webhook_secret(KEY, "shop", "w2"), headers(now), b"{}")


@pytest.mark.parametrize("other", [("evt_2", 1, b"{}"), ("evt_1", 2, b"{}"), ("evt_1", 1, b"[]")])
def test_signature_covers_id_time_and_body(other: tuple[str, int, bytes]) -> None:
    secret = webhook_secret(KEY, "shop", "w1")
    assert sign(secret, *other) != sign(secret, "evt_1", 1, b"{}")


@pytest.mark.parametrize("secret", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%%"])
def test_what_is_no_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError):
        sign(secret, "evt_1", 1, b"{}")


def test_secret_depends_on_key_organization_webhook_and_version() -> None:
    secrets = {
        webhook_secret(KEY, "shop", "w1"),
        webhook_secret(b"x" * 32, "shop", "w1"),
        webhook_secret(KEY, "bank", "w1"),
        webhook_secret(KEY, "shop", "w2"),
        webhook_secret(KEY, "shop", "w1", 2),
    }
    assert len(secrets) == 5


@pytest.mark.parametrize(("status", "taken"), [(199, False), (200, True), (204, True), (302, False), (500, False)])
def test_only_an_answer_of_success_takes_a_delivery(status: int, taken: bool) -> None:
    assert delivered(status) is taken


@pytest.mark.parametrize(("status", "again"), [(None, True), (302, True), (404, True), (410, False), (503, True)])
def test_only_a_receiver_that_is_gone_is_given_up_at_once(status: int | None, again: bool) -> None:
    assert is_tried_again(status) is again


def test_plain_http_is_for_those_who_allowed_it() -> None:
    assert check_scheme("http://example.com/", plain=True)
    assert check_scheme("https://example.com/", plain=False)
    with pytest.raises(ValueError, match="MPG_WEBHOOK_PLAIN_HTTP"):
        check_scheme("http://example.com/", plain=False)


def test_pauses_grow_and_then_it_is_given_up() -> None:
    assert list(PAUSES) == sorted(PAUSES)
    assert pause_after(1) == PAUSES[0]
    assert pause_after(len(PAUSES)) == PAUSES[-1]
    assert pause_after(len(PAUSES) + 1) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "::127.0.0.1",
        "::10.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "5f00::1",
        "192.88.99.1",
        "192.0.0.8",
        "192.0.0.9",
        "168.63.129.16",
    ],
)
def test_address_that_is_not_public_is_called_only_by_configuration(address: str) -> None:
    found = ipaddress.ip_address(address)
    assert not may_be_called(found)
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert may_be_called(found, everything)
    assert not may_be_called(found, (ipaddress.ip_network("203.0.113.0/24"),))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "168.63.129.17", "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1"]
)
def test_public_address_may_be_called(address: str) -> None:
    assert may_be_called(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hooks",
        "ftp://example.com/",
        "https://",
        "https://ann:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:port/",
        "https://example.com/a b",
        "https://example.com/\r\nx: y",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_url_that_no_delivery_could_go_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        AddWebhookRequest(url=url)


def test_origin_of_a_url_has_nothing_that_could_be_a_secret() -> None:
    assert origin("https://hooks.example.com:8443/T0/B0/x?key=y") == "https://hooks.example.com:8443"


def test_webhook_is_told_of_everything_unless_said_otherwise() -> None:
    assert AddWebhookRequest(url="https://example.com:8443/hooks?x=1").events == tuple(WebhookEvent)
    with pytest.raises(ValidationError):
        AddWebhookRequest(url="https://example.com/", events=())
