"""The dashboard's application: the routes of its tabs, and how failures are shown."""

from typing import cast

import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from model import errors
from model.errors import MpgError
from starter.client import MpgClient
from starter.dashboard import (
    acting,
    backups,
    clusters,
    components,
    connect,
    databases,
    destroyed,
    live,
    metrics,
    operations,
    queries,
    session,
    settings,
    signing_in,
    users,
    wrong,
)
from starter.dashboard.page import ASSETS, go_to, render, render_outside
from starter.dashboard.visit import SignInNeeded, Visit
from starter.tokens.keyring import Keyring

_STATUS = {errors.NotFound: 404, errors.StackDown: 503, errors.InvalidInput: 422, errors.Refused: 409}

log = structlog.get_logger()


def make_dashboard(mpg: MpgClient, keyring: Keyring) -> FastAPI:
    """Return the dashboard over *mpg*, for holders of *keyring*'s tokens."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.mpg = mpg
    app.state.keyring = keyring
    app.state.codes = signing_in.codes(mpg.settings)
    app.state.failures = signing_in.failures()
    app.state.watches = live.Watches()
    tabs = (connect, users, databases, settings, backups, metrics, queries)
    for part in (signing_in, live, components, clusters, destroyed, operations, acting, wrong, *tabs):
        app.include_router(part.router)
    app.mount("/assets", _Assets(directory=ASSETS))
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(MpgError, _failed)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _unexpected)
    return app


class _Assets(StaticFiles):
    """Files that change only with a release; a browser asks whether they did."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


async def _sign_in(request: Request, _: Exception) -> Response:
    return go_to("/sign-in", by_htmx="hx-request" in request.headers)


async def _failed(request: Request, error: Exception) -> Response:
    failure = cast(MpgError, error)
    status = next((status for kind, status in _STATUS.items() if isinstance(failure, kind)), 500)
    if status >= 500:
        log.error("page failed", path=request.url.path, error=str(failure))
    return _page_of_failure(request, status, failure.message, failure.remedy)


async def _of_framework(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)
    sentence = "There is no such page." if refused.status_code == 404 else str(refused.detail)
    return _page_of_failure(request, refused.status_code, sentence, "")


async def _unexpected(request: Request, _: Exception) -> Response:
    # The traceback is written by the server, to which the error goes on.
    return _page_of_failure(request, 500, "Something unexpected happened.", "The log of the API says what.")


def _page_of_failure(request: Request, status: int, sentence: str, remedy: str) -> Response:
    found = session.find(request, request.app.state.keyring)
    values = {"sentence": sentence, "remedy": remedy}
    if found is None:
        return render_outside("failure.html", status=status, **values)
    return render(Visit(request, request.app.state.mpg, found), "failure.html", status=status, **values)
