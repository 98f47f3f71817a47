"""The bound on refusals."""

from dataclasses import dataclass

from starter.tokens.failures import MOST_ADDRESSES, WINDOW_S, Failures


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_over_its_bound_waits_for_the_rest_of_the_window() -> None:
    clock = Clock()
    failures = Failures(most=3, clock=clock)
    assert [failures.note("a") for _ in range(3)] == [0, 0, 0]
    clock.now = 20.0
    assert failures.note("a") == WINDOW_S - 20
    assert failures.note("b") == 0
    clock.now = WINDOW_S
    assert failures.note("a") == 0


def test_addresses_that_come_once_are_forgotten_first() -> None:
    failures = Failures(most=1, clock=Clock())
    for number in range(MOST_ADDRESSES + 1):
        failures.note(str(number))
    assert failures.note("0") == 0
    assert failures.note(str(MOST_ADDRESSES)) > 0
