"""One call of the HTTP API: the token, the key, the answer, and failures as the errors that they were."""

from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from model.errors import (
    HTTP_HEADER,
    InvalidInput,
    MpgError,
    NotFound,
    Refused,
    StackDown,
    Unconfirmed,
    from_type,
    is_ours,
)

_BY_STATUS: dict[int, type[MpgError]] = {
    400: InvalidInput,
    401: Refused,
    403: Refused,
    404: NotFound,
    408: StackDown,
    409: Refused,
    410: NotFound,
    413: InvalidInput,
    422: InvalidInput,
    429: Refused,
    502: Unconfirmed,
    503: StackDown,
    504: Unconfirmed,
}
"""Which error an answer stands for that does not name one: what the framework or the token's check refused."""
_OF_PROXIES = frozenset({502, 504})
_READS = frozenset({"GET"})

M = TypeVar("M", bound=BaseModel)


class Wire:
    """Calls of one API with one token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Use *http*, which has the address and the token."""
        self._http = http

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, object] | None = None,
        query: dict[str, str | int | bool] | None = None,
        key: str | None = None,
    ) -> Any:
        """Return the JSON of :meth:`answer`, None where it has none."""
        found = await self.answer(method, path, body=body, query=query, key=key)
        try:
            return found.json() if found.content else None
        except ValueError as error:
            raise _not_understood() from error

    async def answer(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, object] | None = None,
        query: dict[str, str | int | bool] | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """Return the answer, a success. What is None in *body* is left out.

        Raises the error of model/errors.py that the API met; :class:`~model.errors.StackDown` where it does not answer,
        :class:`~model.errors.Refused` where its certificate is not trusted,
        and :class:`~model.errors.Unconfirmed` where a change was sent and no answer came.
        """
        sent = None if body is None else {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = await self._http.request(method, path, json=sent, params=query, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):  # of which httpx makes no error of its own
                raise Refused(
                    f"The certificate that {self._http.base_url} shows is not one that is trusted here.",
                    remedy="Name ca.crt of the stack's state directory in SSL_CERT_FILE.",
                ) from error
            raise StackDown(f"The API does not answer at {self._http.base_url}.") from error
        except httpx.HTTPError as error:
            if method in _READS:
                raise StackDown(f"The API at {self._http.base_url} fell silent.") from error
            raise Unconfirmed(
                "The API fell silent while it was being asked for a change: it may have been begun.",
                remedy=f"Ask again with request id {key!r}." if key else "Look before you ask again.",
            ) from error
        if answer.is_success:
            return answer
        if method in _READS and answer.status_code in _OF_PROXIES and HTTP_HEADER not in answer.headers:
            raise StackDown(f"What is before the API at {self._http.base_url} had no answer of it.")
        raise _error(answer)


def path(*parts: str) -> str:
    """Return a path of the REST half of the API; what is in *parts* cannot leave its place in it."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def machines_path(*parts: str) -> str:
    """Return a path of the other half, the Machines API, which has calls that the first one lacks."""
    return "/v1/postgres/" + "/".join(quote(part, safe="") for part in parts)


def operation_path(operation_id: str, *more: str) -> str:
    """Return the path of an operation, whose id has slashes."""
    return "/".join(["/api/v1/operations", quote(operation_id), *more])


def parsed(model: type[M], found: object) -> M:
    """Return *found* as *model*. Raises :class:`~model.errors.MpgError` where the API is of another kind."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise _not_understood() from error


def _not_understood() -> MpgError:
    return MpgError("The API answered what this client does not understand.", remedy="Update it.")


def _error(answer: httpx.Response) -> MpgError:
    try:
        sentence = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The API answered {answer.status_code}."
    named = answer.headers.get(HTTP_HEADER)
    if is_ours(named):
        return from_type(named, sentence)
    return _BY_STATUS.get(answer.status_code, MpgError)(sentence)
