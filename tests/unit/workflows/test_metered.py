"""What counts as the end of an operation, and as which."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError, CancelledError

from model.operations import REFUSED, OperationFailure, OperationOutcome
from workflows.metered import outcome_of


def failed(outcome: OperationOutcome, *, began: bool) -> ApplicationError:
    return ApplicationError("It failed.", OperationFailure(outcome=outcome, began=began))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (failed(OperationOutcome.FAILED, began=True), "failed"),
        (failed(OperationOutcome.ROLLED_BACK, began=True), "rolled_back"),
        (failed(OperationOutcome.FAILED, began=False), REFUSED),
        (ApplicationError("Of another form."), "failed"),
        (CancelledError("It was cancelled."), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_operation_that_does_not_complete_is_counted_by_how_it_ended(error: BaseException, outcome: str) -> None:
    assert outcome_of(error) == outcome


@pytest.mark.parametrize("error", [RuntimeError("a mistake: the task is tried again"), GeneratorExit()])
def test_what_does_not_end_the_operation_is_not_counted(error: BaseException) -> None:
    assert outcome_of(error) is None
