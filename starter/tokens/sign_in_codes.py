"""Codes with which a browser is signed in once, each a file in ``MPG_HOME/api/sign-in`` that is called like its hash.

Whoever may write there may make tokens too, so a code says nothing more than that its maker could.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from model.errors import Refused
from model.private_files import put

SECONDS = 60
"""How long a code lets somebody in."""
_BYTES = 24
_FORM = re.compile(r"[A-Za-z0-9_-]{32}")
_ANOTHER = "Run 'mpg dashboard' for another one."


class SignInCodes:
    """Makes codes and takes each of them once; safe beside other processes that do."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Keep them below *directory*; *clock* tells Unix seconds."""
        self._directory = directory / "sign-in"
        self._clock = clock

    def issue(self) -> str:
        """Return a new code."""
        self._remove_expired()
        code = secrets.token_urlsafe(_BYTES)
        put(self._file(code), str(self._clock() + SECONDS).encode())
        return code

    def redeem(self, code: str) -> None:
        """Use *code* up. Raises :class:`~model.errors.Refused` where it is none, was used, or is too old."""
        file = self._file(code)
        try:
            until = float(file.read_text())
            file.unlink()  # of several that come at once, one gets past here
        except (FileNotFoundError, ValueError):
            raise Refused("This code was used already, or is none.", remedy=_ANOTHER) from None
        if self._clock() > until:
            raise Refused(f"This code is older than {SECONDS} seconds.", remedy=_ANOTHER)

    def _file(self, code: str) -> Path:
        if not _FORM.fullmatch(code):
            raise Refused("This is not a code.", remedy=_ANOTHER)
        return self._directory / hashlib.sha256(code.encode()).hexdigest()

    def _remove_expired(self) -> None:
        """Nobody was let in with these. They are kept for a while, so that the refusal says why."""
        for file in self._directory.glob("[0-9a-f]*"):
            with suppress(OSError, ValueError):
                if self._clock() > float(file.read_text()) + 60 * SECONDS:
                    file.unlink()
