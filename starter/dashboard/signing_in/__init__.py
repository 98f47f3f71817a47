"""Signing in and out: by a code of ``mpg dashboard``, or by a token of the API."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.errors import MpgError, Refused
from model.settings import Settings
from starter.dashboard import forms, session
from starter.dashboard.page import go_to, render_outside
from starter.dashboard.visit import Visiting
from starter.tokens.failures import Failures
from starter.tokens.sign_in_codes import SignInCodes

router = APIRouter()

_NO_TOKEN = "This token lets nobody in."  # noqa: S105  a sentence


def codes(settings: Settings) -> SignInCodes:
    """Return the codes of the stack in *settings*."""
    return SignInCodes(settings.api_dir)


def failures() -> Failures:
    """Return a count of the refusals of each address."""
    return Failures()


@router.get("/sign-in")
async def sign_in(request: Request, code: str | None = None) -> Response:
    """Sign in by *code*, or show how to."""
    if code is None:
        return render_outside("signing_in/page.html", error=None)
    try:
        request.app.state.codes.redeem(code)
    except Refused as refused:
        return _refuse(request, refused)
    answer = go_to("/")
    session.begin(request, answer, session.new_token(request.app.state.keyring))
    return answer


@router.post("/sign-in")
async def sign_in_by_token(request: Request) -> Response:
    """Sign in by a token of the API."""
    token = (await forms.read(request, None)).get("token", "")
    if session.verified(token, request.app.state.keyring) is None:
        return _refuse(request, Refused(_NO_TOKEN, remedy="See 'mpg auth list'; 'mpg auth token' makes one."))
    answer = go_to("/")
    session.begin(request, answer, token)
    return answer


@router.post("/sign-out")
async def sign_out(visit: Visiting) -> Response:
    """End the session in this browser."""
    await forms.read(visit.request, visit.session)
    answer = go_to("/sign-in")
    session.end(visit.request, answer)
    return answer


def _refuse(request: Request, error: MpgError) -> Response:
    address = request.client.host if request.client else ""
    if wait_s := request.app.state.failures.note(address):
        error = Refused("Too many tries were refused.", remedy=f"Wait {wait_s} seconds.")
    return render_outside("signing_in/page.html", error=error, status=429 if wait_s else 403)
