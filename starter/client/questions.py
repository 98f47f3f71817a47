"""Workflows that are questions: they end with the answer, within a bound, and change no cluster's record."""

import secrets
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import TimeoutError

from model import names
from model.base import Record
from model.errors import StackDown
from model.settings import Settings
from starter.client.temporal import from_failure, translated

R = TypeVar("R", bound=Record)


async def ask(
    client: Client,
    settings: Settings,
    workflow: str,
    request: BaseModel,
    *,
    about: str,
    answer: type[R],
    within: timedelta,
    summary: str,
    silent: StackDown,
) -> R:
    """Run *workflow* with *request* and return its *answer*; its id has what it is *about*.

    Raises *silent* where there is none *within* that time, StackDown where Temporal does not answer, and the error with
    which the workflow failed.
    """
    try:
        with translated(settings):
            return await client.execute_workflow(
                workflow,
                request,
                id=f"{names.kebab(workflow)}/{about}/{secrets.token_hex(8)}",
                task_queue=names.MAIN_QUEUE,
                result_type=answer,
                execution_timeout=within,
                static_summary=summary,
            )
    except WorkflowFailureError as failure:
        if isinstance(failure.cause, TimeoutError):
            raise silent from failure
        raise from_failure(failure.cause or failure) from failure
