"""The allow list as it was entered, against the cluster's: what comes and what goes."""

import pytest

from model.cluster import ClusterView
from starter.dashboard.acting import ACTIONS
from tests.unit.starter.dashboard.test_health import view


def _listing(*networks: str) -> ClusterView:
    made = view()
    spec = made.state.spec.model_copy(update={"allow_list": networks})
    return made.model_copy(update={"state": made.state.model_copy(update={"spec": spec})})


@pytest.mark.parametrize(
    ("listed", "entered", "options"),
    [
        ((), "192.0.2.0/24", "--add 192.0.2.0/24"),
        (("192.0.2.0/24",), "192.0.2.0/24,  198.51.100.7/32 ", "--add 198.51.100.7/32"),
        (("192.0.2.0/24", "198.51.100.7/32"), "198.51.100.7/32", "--remove 192.0.2.0/24"),
        (("192.0.2.0/24",), "", "--remove 192.0.2.0/24"),
        (("192.0.2.0/24",), "203.0.113.0/24", "--add 203.0.113.0/24 --remove 192.0.2.0/24"),
    ],
)
def test_allow_list_is_changed_by_what_differs(listed: tuple[str, ...], entered: str, options: str) -> None:
    given = {"networks": entered, "shown": " ".join(listed)}
    found = ACTIONS["set-allow-list"].command_line(_listing(*listed, "10.9.0.0/16"), given)
    assert found == f"mpg allow-list orders {options}"
