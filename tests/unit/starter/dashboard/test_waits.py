"""What is said of the wait that an action brings."""

import pytest

from starter.dashboard.acting import ACTIONS
from starter.dashboard.settings.waits import HOLDING, say_wait


@pytest.mark.parametrize(
    ("held_ms", "said"),
    [
        ([], "was not measured"),
        ([181.4], "The last time on this cluster pooled clients waited for 181 ms."),
        ([240.6, 181.4, 199.0], "The last 3 times on this cluster pooled clients waited for 181 to 241 ms."),
        ([181.4, 181.2], "The last 2 times on this cluster pooled clients waited for 181 ms each time."),
    ],
)
def test_wait_is_said_as_it_was_measured(held_ms: list[float], said: str) -> None:
    assert said in say_wait(held_ms)


def test_where_nothing_was_measured_on_the_cluster_others_of_the_installation_tell() -> None:
    said = say_wait([], [240.6, 181.4])
    assert said.startswith("How long pooled clients wait was not measured on this cluster yet")
    assert said.endswith("The last 2 times on this installation pooled clients waited for 181 to 241 ms.")
    assert "installation" not in say_wait([181.4], [240.6])


def test_actions_that_hold_clients_are_there() -> None:
    assert set(ACTIONS) >= HOLDING
