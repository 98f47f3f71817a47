"""What a form sent: bounded, and only from a page of the same session."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from model.errors import InvalidInput, Refused
from starter.dashboard.session import Session

MOST_BYTES = 64 * 1024
MOST_FIELDS = 100
CSRF = "csrf"
"""Name of the field that each form carries."""

Form = Mapping[str, str]


async def read(request: Request, session: Session | None) -> Form:
    """Return the fields of a form, of which *session* must have been shown the page.

    Without a session, as before signing in, it need only come from a page of this address.

    Raises:
        InvalidInput: it is too large or no form.
        Refused: it comes from elsewhere.
    """
    if not _from_here(request):
        raise Refused("This form was sent by another site.")
    try:
        pairs = parse_qsl((await _body(request)).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput("This is not a form of these pages.") from None
    fields = {name: value.strip() for name, value in pairs}
    if session is not None and not session.is_own_form(fields.pop(CSRF, "")):
        raise Refused("This page is from another session.", remedy="Load it again.")
    return fields


async def _body(request: Request) -> bytes:
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > MOST_BYTES:
            raise InvalidInput(f"The form is larger than {MOST_BYTES} bytes.")
    return bytes(parts)


def _from_here(request: Request) -> bool:
    """Browsers say where a form was sent from; what says nothing is no browser."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
