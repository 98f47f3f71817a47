"""Who is signed in: a session is an API token in a cookie that no script reads, and ends when that is revoked."""

import hashlib
import hmac
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from model.errors import MpgError
from starter.tokens.caller import Caller
from starter.tokens.keyring import Keyring, TokenRefused

HOURS = 12
"""How long a session lasts that began with a code."""
PURPOSE = "dashboard"


class Session:
    """The token that a browser sent, and what follows from it."""

    def __init__(self, token: str, caller: Caller) -> None:
        """Stand for the holder of *token*, who is *caller*."""
        self._token = token
        self.caller = caller

    @property
    def csrf(self) -> str:
        """What a form of this session carries. Nobody knows it who does not know the cookie."""
        return hmac.digest(self._token.encode(), b"form", hashlib.sha256).hex()

    def is_own_form(self, sent: str) -> bool:
        """Tell whether *sent* is what a form of this session carries."""
        return hmac.compare_digest(sent.encode(), self.csrf.encode())


def new_token(keyring: Keyring) -> str:
    """Return a token for a new session."""
    return keyring.text(keyring.issue(expires_in_s=HOURS * 3600, purpose=PURPOSE))


def find(request: Request, keyring: Keyring) -> Session | None:
    """Return the session of *request*, None where it has none that is in force."""
    token = unquote(request.cookies.get(_cookie(request), ""))
    return verified(token, keyring) if token else None


def verified(token: str, keyring: Keyring) -> Session | None:
    """Return the session of *token*, None where it lets nobody in."""
    try:
        return Session(token, Caller((keyring.verify(token),)))
    except (TokenRefused, MpgError):
        return None


def begin(request: Request, answer: Response, token: str) -> None:
    """Have the browser send *token* from now on, to this address only and never for another site."""
    answer.set_cookie(
        _cookie(request), quote(token, safe=""), httponly=True, secure=_is_secure(request), samesite="strict", path="/"
    )


def end(request: Request, answer: Response) -> None:
    """Have the browser forget its token."""
    answer.delete_cookie(_cookie(request), httponly=True, secure=_is_secure(request), samesite="strict", path="/")


def _is_secure(request: Request) -> bool:
    """Over TLS the token is never sent without."""
    return request.url.scheme == "https"


def _cookie(request: Request) -> str:
    # Browsers tell hosts apart but not ports: two stacks on one machine would sign each other out.
    return f"mpg-session-{request.url.port or 80}"
