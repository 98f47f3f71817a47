"""POST /graphql."""

from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from graphql import DocumentNode, ExecutionResult, GraphQLError, parse, validate
from graphql.execution import execute  # pyright: ignore[reportUnknownVariableType]
from pydantic import ConfigDict

from model.base import Record
from model.errors import MpgError, StackDown
from starter.api.call import Asked, Call
from starter.api.errors import ErrorBody
from starter.api.graphql.limits import MOST_TOKENS, TooCostly, check_cost
from starter.api.graphql.schema import make_schema
from starter.api.operating import Body

router = APIRouter(tags=["graphql"])
SCHEMA = make_schema()
_MOST_ERRORS = 10

log = structlog.get_logger()


class Question(Body):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None


class Problem(Record):
    """What is wrong with a document, or with a field of an answer."""

    model_config = ConfigDict(extra="allow")
    message: str


class Answered(Record):
    """The answer to a document that was run."""

    data: dict[str, Any] | None
    errors: tuple[Problem, ...] = ()


class NotRun(Record):
    """The answer to a document that is none, or costs too much."""

    errors: tuple[Problem, ...]


_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"model": Answered},
    400: {"model": NotRun | ErrorBody, "description": "The body is not JSON, or its document is refused."},
}


@router.post("/graphql", responses=_DOCUMENTED)
async def answer(question: Question, call: Asked) -> JSONResponse:
    """Answer organization, organizations, platform and viewer. 400 where the document is refused before it is run."""
    try:
        document = parse(question.query, max_tokens=MOST_TOKENS)
        if errors := validate(SCHEMA, document, max_errors=_MOST_ERRORS):
            return _refused([error.formatted for error in errors])
        check_cost(document)
    except (GraphQLError, TooCostly, RecursionError) as error:
        return _refused([error.formatted if isinstance(error, GraphQLError) else {"message": str(error)}])
    result = await _run(document, question, call)
    return JSONResponse(_formatted(result))


async def _run(document: DocumentNode, question: Question, call: Call) -> ExecutionResult:
    running = execute(
        SCHEMA,
        document,
        context_value=call,
        variable_values=question.variables,
        operation_name=question.operationName,
    )
    result = running if isinstance(running, ExecutionResult) else await running
    for error in result.errors or []:
        if isinstance(error.original_error, StackDown):
            raise error.original_error
    return result


def _formatted(result: ExecutionResult) -> dict[str, Any]:
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_shown(error) for error in result.errors]
    return body


def _shown(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    if cause is not None and not isinstance(cause, MpgError | GraphQLError):
        log.error("a field could not be resolved", path=error.path, error=repr(cause))
        return {**error.formatted, "message": "Something unexpected happened; the log of the API says what."}
    return dict(error.formatted)


def _refused(errors: list[Any]) -> JSONResponse:
    return JSONResponse({"errors": errors}, status_code=400)
