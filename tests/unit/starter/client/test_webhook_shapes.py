"""How a webhook does, as its latest deliveries tell."""

import pytest

from model.webhook_book import DeliveryState
from starter.client.webhook_shapes import standing

DELIVERED, GIVEN_UP, RETRYING = DeliveryState.DELIVERED, DeliveryState.GIVEN_UP, DeliveryState.RETRYING


@pytest.mark.parametrize(
    ("latest", "state"),
    [
        ([], "unused"),
        ([DeliveryState.RUNNING], "unused"),
        ([DELIVERED, GIVEN_UP], "ok"),
        ([DeliveryState.CANCELLED, GIVEN_UP, DELIVERED], "failing"),
        ([DELIVERED, RETRYING], "retrying"),
    ],
)
def test_webhook_stands_as_its_latest_deliveries_do(latest: list[DeliveryState], state: str) -> None:
    assert standing(latest) == state
