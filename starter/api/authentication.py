"""Nobody gets past here without a token that is in force, and nobody who may only read gets to a change."""

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import MpgError
from starter.api.errors import ApiError, respond
from starter.tokens.caller import Caller
from starter.tokens.failures import Failures
from starter.tokens.grants import Grant
from starter.tokens.keyring import Keyring, TokenRefused

OPEN_PATHS = frozenset({"/healthz", "/openapi.json"})
"""What tells nothing about anybody."""
QUERIES = "/graphql"
"""The one route where POST changes nothing."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEMES = frozenset({"bearer", "flyv1"})
_MOST_TOKENS = 16

log = structlog.get_logger()


class Authentication:
    """ASGI middleware: puts the :class:`Caller` into the request's state, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp, keyring: Keyring, failures: Failures) -> None:
        """Let requests with a token of *keyring* through to *app*."""
        self._app = app
        self._keyring = keyring
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            request = Request(scope)
            try:
                scope.setdefault("state", {})["caller"] = self._admit(request)
            except ApiError as error:
                answer = respond(scope["path"], error.status, error.sentence, error.headers)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, request: Request) -> Caller:
        caller = self._identify(request)
        if request.method in _SAFE or request.scope["path"] == QUERIES:  # what routes go by: no header has a say
            return caller
        writing = caller.for_changes()
        if writing is None:
            log.warning("change refused", actor=caller.actor, why="it may only read", **_about(request))
            raise ApiError(403, "This token may only read.")
        log.info("change asked for", actor=writing.actor, **_about(request))
        return writing

    def _identify(self, request: Request) -> Caller:
        tokens = tokens_of(request.headers.get("authorization", ""))
        if not tokens:
            log.info("request without a token", **_about(request))
            raise ApiError(401, "A token is needed: Authorization: Bearer TOKEN.", _CHALLENGE)
        grants: list[Grant] = []
        refusals: list[TokenRefused] = []
        for token in tokens:
            try:
                grants.append(self._keyring.verify(token))
            except TokenRefused as refused:
                refusals.append(refused)
            except MpgError as error:  # the key or the record is damaged: nobody gets in
                log.error("tokens cannot be verified", error=str(error))
                raise ApiError(500, "Tokens cannot be verified now; the log of the API says why.") from error
        if not grants:
            raise self._refuse(request, refusals)
        return Caller(tuple(grants))

    def _refuse(self, request: Request, refusals: list[TokenRefused]) -> ApiError:
        about = _about(request)
        for refused in refusals:
            log.warning("token refused", actor=f"token/{refused.token_id or 'none'}", why=str(refused), **about)
        if wait_s := self._failures.note(about["address"]):
            return ApiError(429, "Too many tokens were refused; wait a while.", {"Retry-After": str(wait_s)})
        if all(refused.understood for refused in refusals):
            return ApiError(401, f"The token is not accepted: {refusals[0]}.", _CHALLENGE)
        return ApiError(403, "The token has a restriction that is not understood here.")


_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def tokens_of(header: str) -> list[str]:
    """Return the tokens in an Authorization header of either scheme; none where it has another form."""
    scheme, _, listed = header.strip().partition(" ")
    if scheme.lower() not in _SCHEMES:
        return []
    return [token for token in (part.strip() for part in listed.split(",")) if token][:_MOST_TOKENS]


def _about(request: Request) -> dict[str, str]:
    address = request.client.host if request.client else ""
    return {"address": address, "method": request.method, "path": request.scope["path"]}
