"""How every failure is answered: a status and ``{"error": "one clear sentence"}``."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from model import errors
from model.base import Record
from model.errors import MpgError
from model.validation import in_words

LONGEST_SENTENCE = 400
"""Characters: what was sent is quoted in the sentence, and may be long."""
CREATION = "/postgresv2"
"""End of the path of a creation, whose failures carry their sentence twice."""

RETRY_AFTER_S: Mapping[int, int] = {429: 60, 503: 2}
"""By status: when what was not begun is worth another try."""

STATUS: Mapping[type[MpgError], int] = {
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Refused: 409,
    errors.HostTooSmall: 422,
    errors.HostFull: 409,
    errors.LongTransaction: 409,
    errors.ReplicaBehind: 409,
    errors.Preempted: 409,
    errors.WrongMasterKey: 409,
    errors.NeedsOperator: 409,
    errors.Cancelled: 409,
    errors.NotYet: 409,
    errors.TooOften: 429,
    errors.StackDown: 503,
    errors.Unconfirmed: 504,
}
"""503 says that nothing was begun: clients repeat what was answered so, and nothing that was answered 504."""

log = structlog.get_logger()


class ErrorBody(Record):
    """What every failure is answered with."""

    error: str


class Detail(Record):
    """The sentence again, where Fly's client looks for it when a creation failed."""

    detail: str


class CreationErrorBody(ErrorBody):
    """What the failure of a creation is answered with."""

    errors: Detail


class ApiError(Exception):
    """An answer that is not a success, decided by a handler."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with *status* and *sentence*."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


@contextmanager
def answered(**statuses: int) -> Generator[None]:
    """Answer errors with other statuses than :data:`STATUS` says: ``answered(Refused=422)``."""
    try:
        yield
    except MpgError as error:
        status = statuses.get(type(error).__name__)
        if status is None:
            raise
        raise ApiError(status, error.message, {errors.HTTP_HEADER: type(error).__name__}) from error


@contextmanager
def after_acceptance(operation_id: str) -> Generator[None]:
    """Answer 504 where Temporal falls silent once an operation was started, or over: a repeat would start another."""
    try:
        yield
    except errors.StackDown as error:
        raise ApiError(504, f"Operation {operation_id} was accepted; what came of it is not known yet.") from error


def respond(path: str, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request of *path* that failed."""
    body: dict[str, Any] = {"error": sentence[:LONGEST_SENTENCE]}
    if path.endswith(CREATION):
        body["errors"] = {"detail": body["error"]}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Have *app* answer its failures so."""
    app.add_exception_handler(ApiError, _decided)
    app.add_exception_handler(MpgError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _unexpected)


async def _decided(request: Request, error: Exception) -> Response:
    decided = cast(ApiError, error)
    return respond(request.scope["path"], decided.status, decided.sentence, decided.headers)


async def _ours(request: Request, error: Exception) -> Response:
    ours = cast(MpgError, error)
    status = STATUS.get(type(ours), 500)
    if status >= 500:
        log.error("request failed", method=request.method, path=request.scope["path"], status=status, error=str(ours))
    headers = {errors.HTTP_HEADER: type(ours).__name__}
    if status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[status])
    return respond(request.scope["path"], status, ours.message, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    details = cast("list[ErrorDetails]", cast(RequestValidationError, error).errors())
    first = details[0]
    if first["type"] == "json_invalid":
        return respond(request.scope["path"], 400, "The body is not JSON.")
    place = [str(part) for part in first["loc"] if part not in {"body", "path", "query", "header"}]
    return respond(request.scope["path"], 422, in_words(first, ".".join(place) or "body"))


async def _of_framework(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)
    sentences = {404: "There is no such route.", 405: f"{request.method} is not possible here."}
    sentence = sentences.get(refused.status_code, str(refused.detail))
    return respond(request.scope["path"], refused.status_code, sentence, refused.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    # The traceback is written by the server, to which the error goes on.
    return respond(request.scope["path"], 500, "Something unexpected happened; the log of the API says what.")
