"""Which status says what."""

import pytest

from model import errors
from model.errors import MpgError, NotFound, Refused, StackDown, Unconfirmed
from starter.api.errors import STATUS, ApiError, after_acceptance, answered

INTERNAL = {errors.WorkerStops}
"""Between workers only."""


def test_every_error_that_can_reach_a_caller_has_a_status() -> None:
    ours = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MpgError)}
    assert ours - INTERNAL - {MpgError} == set(STATUS)


def test_only_a_stack_that_falls_silent_is_5xx() -> None:
    assert {kind for kind, status in STATUS.items() if status >= 500} == {StackDown, Unconfirmed}


def test_what_may_have_begun_is_nothing_that_clients_repeat() -> None:
    assert STATUS[Unconfirmed] not in {502, 503}


def test_silence_after_work_was_accepted_is_nothing_that_clients_repeat() -> None:
    with pytest.raises(ApiError) as caught, after_acceptance("create-user/orders/1"):
        raise StackDown("Temporal does not answer.")
    assert caught.value.status not in {502, 503}
    assert "create-user/orders/1" in caught.value.sentence


def test_a_route_answers_with_its_own_status_and_leaves_other_errors_alone() -> None:
    with pytest.raises(ApiError) as caught, answered(Refused=422):
        raise Refused("It is needed.")
    assert (caught.value.status, caught.value.sentence) == (422, "It is needed.")
    with pytest.raises(NotFound), answered(Refused=422):
        raise NotFound("It is not there.")
