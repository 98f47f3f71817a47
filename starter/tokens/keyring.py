"""The key that signs tokens, and the record of those that were issued: both in ``MPG_HOME/api``, mode 0600.

The record holds ids and restrictions, never a token. A token is honoured only while it is on record and not revoked, so
that a lost record locks out, and a copy of the key alone lets nobody in for whom nothing was issued.
"""

import fcntl
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from model.base import Record
from model.errors import NotFound, Refused
from model.private_files import put, put_if_absent
from starter.tokens import grants
from starter.tokens.grants import Grant, UnknownCaveat, grant_of
from starter.tokens.macaroon import RANDOM_BYTES, Caveat, Macaroon, Malformed, decode, is_genuine, mint

KEY_BYTES = 32
KEPT_SECONDS = 30 * 24 * 3600
"""How long a token stays on record after it expired or was revoked."""


class TokenRefused(Exception):
    """A token lets nobody in. ``token_id`` is empty where the text has none; ``understood`` false for a caveat."""

    def __init__(self, why: str, token_id: str = "", *, understood: bool = True) -> None:
        """Say *why*, without a word of the token itself."""
        super().__init__(why)
        self.token_id = token_id
        self.understood = understood


class IssuedToken(Record):
    """A token on record. Its text can be made again from this and the key."""

    id: str
    purpose: str = ""
    """What it was made for: ``env`` for the one that `mpg auth env` prints."""
    issued_at: datetime
    expires_at: datetime | None = None
    read_only: bool = False
    organization: str | None = None
    cluster: str | None = None
    """Id of the only cluster that it lets its holder see."""
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Tell whether it lets anybody in."""
        return self.revoked_at is None and (self.expires_at is None or now <= self.expires_at)


class _Record(Record):
    tokens: tuple[IssuedToken, ...] = ()


class Keyring:
    """Issues, verifies and revokes the tokens of one state directory; safe beside other processes that do."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Keep key and record in *directory*, made when needed; *clock* tells Unix seconds."""
        self._key_file = directory / "key"
        self._record_file = directory / "tokens.json"
        self._lock_file = directory / "tokens.lock"
        self._clock = clock
        self._read_as: tuple[int, int, int] | None = None
        self._tokens: dict[str, IssuedToken] = {}

    def prepare(self) -> None:
        """Make the key if there is none. Raises :class:`Refused` for one that cannot be used."""
        put_if_absent(self._key_file, secrets.token_bytes(KEY_BYTES))
        self._key()

    def issue(
        self,
        *,
        expires_in_s: int | None = None,
        read_only: bool = False,
        organization: str | None = None,
        cluster: str | None = None,
        purpose: str = "",
    ) -> IssuedToken:
        """Put a new token on record. Its text is :meth:`text`."""
        self.prepare()
        now = self._now()
        issued = IssuedToken(
            id=secrets.token_hex(RANDOM_BYTES),
            purpose=purpose,
            issued_at=now,
            expires_at=None if expires_in_s is None else datetime.fromtimestamp(now.timestamp() + expires_in_s, UTC),
            read_only=read_only,
            organization=organization,
            cluster=cluster,
        )
        self._change(lambda tokens: (*tokens, issued))
        return issued

    def text(self, issued: IssuedToken) -> str:
        """Return the token itself."""
        key = self._key()
        return mint(key, _key_id(key), bytes.fromhex(issued.id), _caveats(issued))

    def issued(self) -> list[IssuedToken]:
        """Return what is on record, the latest last."""
        return list(self._current().values())

    def revoke(self, token_id: str) -> IssuedToken:
        """Have a token, and all made from it, let nobody in any more. Raises :class:`NotFound`."""
        if token_id not in self._current():
            raise NotFound(f"There is no token {token_id!r}.", remedy="See 'mpg auth list'.")
        at = self._now()

        def revoked(token: IssuedToken) -> IssuedToken:
            hit = token.id == token_id and token.revoked_at is None
            return token.model_copy(update={"revoked_at": at}) if hit else token

        self._change(lambda tokens: tuple(revoked(token) for token in tokens))
        return self._current()[token_id]

    def edition(self) -> int:
        """Return a number that is another one once something was issued or revoked. Raises Refused."""
        self._current()
        return hash(self._read_as)

    def verify(self, token: str) -> Grant:
        """Return what *token* allows now. Raises :class:`TokenRefused`."""
        try:
            macaroon = decode(token)
        except Malformed as error:
            raise TokenRefused(str(error)) from None
        self._require_genuine(macaroon)
        self._require_in_force(macaroon)
        try:
            grant = grant_of(macaroon)
        except UnknownCaveat as error:
            raise TokenRefused(
                f"it has a restriction that is not understood: {error}", macaroon.id, understood=False
            ) from None
        if not grant.holds_at(self._clock()):
            raise TokenRefused("it is expired, or not valid yet", macaroon.id)
        return grant

    def _require_genuine(self, macaroon: Macaroon) -> None:
        key = self._key()
        if not hmac.compare_digest(macaroon.key_id, _key_id(key)) or not is_genuine(macaroon, key):
            raise TokenRefused("it was not signed here", macaroon.id)

    def _require_in_force(self, macaroon: Macaroon) -> None:
        found = self._current().get(macaroon.id)
        if found is None:
            raise TokenRefused("it is not on record", macaroon.id)
        if found.revoked_at is not None:
            raise TokenRefused("it was revoked", macaroon.id)

    def _key(self) -> bytes:
        try:
            key = self._key_file.read_bytes()
        except FileNotFoundError:
            raise Refused(f"There is no {self._key_file}.", remedy="Run 'mpg auth token'.") from None
        if len(key) != KEY_BYTES:
            raise Refused(f"{self._key_file} does not hold a key of {KEY_BYTES} bytes.", remedy="Remove it; mint anew.")
        if self._key_file.stat().st_mode & 0o077:
            raise Refused(f"{self._key_file} can be read by others.", remedy=f"Run: chmod 600 {self._key_file}")
        return key

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock()), UTC)

    def _current(self) -> dict[str, IssuedToken]:
        """Return what is on record, read again only when the file is another one."""
        try:
            found = self._record_file.stat()
        except FileNotFoundError:
            self._read_as, self._tokens = None, {}
            return self._tokens
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._read_as:
            self._tokens = {token.id: token for token in self._read()}
            self._read_as = seen
        return self._tokens

    def _read(self) -> tuple[IssuedToken, ...]:
        try:
            return _Record.model_validate_json(self._record_file.read_bytes()).tokens
        except FileNotFoundError:
            return ()
        except ValidationError:
            raise Refused(
                f"{self._record_file} can't be read.", remedy="Remove it: every token has to be minted anew then."
            ) from None

    def _change(self, edit: Callable[[tuple[IssuedToken, ...]], tuple[IssuedToken, ...]]) -> None:
        with self._alone():
            edited = [token for token in edit(self._read()) if not self._is_history(token)]
            put(self._record_file, _Record(tokens=tuple(edited)).model_dump_json(indent=1).encode())

    def _is_history(self, token: IssuedToken) -> bool:
        """Tell whether it has let nobody in for long. Without its record it does not either."""
        over = [at.timestamp() for at in (token.revoked_at, token.expires_at) if at is not None]
        return bool(over) and min(over) + KEPT_SECONDS < self._clock()

    @contextmanager
    def _alone(self) -> Generator[None]:
        self._lock_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock_file.open("a") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield


def _key_id(key: bytes) -> bytes:
    """Return 8 bytes that tell one key from another, and nothing about either."""
    return hashlib.sha256(b"mpg api key id" + key).digest()[:8]


def _caveats(issued: IssuedToken) -> list[Caveat]:
    found: list[Caveat] = []
    if issued.expires_at is not None:
        window = int(issued.issued_at.timestamp()), int(issued.expires_at.timestamp())
        found.append(grants.validity(*window))
    if issued.read_only:
        found.append(grants.read_only())
    if issued.organization is not None:
        found.append(grants.only_organization(issued.organization))
    if issued.cluster is not None:
        found.append(grants.only_cluster(issued.cluster))
    return found
