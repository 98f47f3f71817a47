"""The wire form of a macaroon: ``"fm2_" + base64(msgpack([nonce, location, caveats, tail]))``.

``nonce`` is ``[kid, rnd]``, ``caveats`` the flat list ``[type, body, type, body, …]``. The tail is HMAC-SHA256 of the
key over the packed nonce and then, for each caveat in turn, HMAC-SHA256 of the tail so far over ``msgpack([type,
body])``: whoever holds a token can add a caveat, nobody can take one away. Signatures are computed over the very bytes
that came, so that another program's way of packing an integer does not matter.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgpack as _msgpack  # pyright: ignore[reportMissingTypeStubs]

msgpack: Any = _msgpack
"""It carries no types of its own; what crosses this module is typed here."""

PREFIX = "fm2_"
LOCATION = "https://api.fly.io/v1"
"""A name that Fly's client compares; nothing is ever fetched from it."""
RANDOM_BYTES = 16
LONGEST_TOKEN = 8192
"""Characters of a token. One without caveats has about 130, and a caveat adds 10 to 80."""
MOST_CAVEATS = 64

_PACKED_PAIR = b"\x92"  # msgpack's array of two


class Malformed(ValueError):
    """The text is not a macaroon."""


@dataclass(frozen=True)
class Caveat:
    """A restriction. ``packed`` is ``msgpack([type, body])``, as it is signed."""

    type: int
    body: object
    packed: bytes

    @classmethod
    def of(cls, type: int, body: Sequence[object]) -> "Caveat":
        """Return the caveat of that type and body."""
        return cls(type=type, body=list(body), packed=_pack([type, list(body)]))


@dataclass(frozen=True)
class Macaroon:
    """A token that was decoded; whether it is genuine is for :func:`is_genuine` to say."""

    packed_nonce: bytes
    key_id: bytes
    random: bytes
    caveats: tuple[Caveat, ...]
    tail: bytes

    @property
    def id(self) -> str:
        """What tells this token, and every one made from it by adding caveats, from others: 32 hexadecimal digits."""
        return self.random.hex()


def mint(key: bytes, key_id: bytes, random: bytes, caveats: Sequence[Caveat] = ()) -> str:
    """Return a token signed with *key*. *random* is :data:`RANDOM_BYTES` bytes that no other token has."""
    nonce = _pack([key_id, random])
    return _encode(nonce, caveats, _signed(_hmac(key, nonce), caveats))


def attenuate(token: str, caveats: Sequence[Caveat]) -> str:
    """Return *token* with *caveats* added. No key is needed. Raises :class:`Malformed`."""
    held = decode(token)
    return _encode(held.packed_nonce, (*held.caveats, *caveats), _signed(held.tail, caveats))


def is_genuine(macaroon: Macaroon, key: bytes) -> bool:
    """Tell whether *macaroon* was minted with *key* and restricted by nothing but what it says."""
    return hmac.compare_digest(_signed(_hmac(key, macaroon.packed_nonce), macaroon.caveats), macaroon.tail)


def decode(token: str) -> Macaroon:
    """Return what *token* says. Raises :class:`Malformed` for every text that is not such a token."""
    if not token.startswith(PREFIX) or len(token) > LONGEST_TOKEN:
        raise Malformed("it does not have the form of a token")
    try:
        return _unpack(base64.b64decode(token.removeprefix(PREFIX), validate=True))
    except Malformed:
        raise
    except (binascii.Error, ValueError, TypeError, OverflowError, msgpack.UnpackException):
        raise Malformed("it is not msgpack in base64") from None


def _unpack(data: bytes) -> Macaroon:
    packed = _Slices(data)
    packed.expect_array(4)
    nonce = packed.next()
    location = _value(packed.next())
    count = packed.array()
    if location != LOCATION or count % 2 or count > 2 * MOST_CAVEATS:
        raise Malformed("it is not one of ours")
    caveats = tuple(_caveat(packed.next(), packed.next()) for _ in range(count // 2))
    tail = _value(packed.next())
    key_id, random = _nonce(_value(nonce))
    if not isinstance(tail, bytes) or not packed.at_end:
        raise Malformed("it has no signature at its end")
    return Macaroon(packed_nonce=nonce, key_id=key_id, random=random, caveats=caveats, tail=tail)


def _nonce(value: object) -> tuple[bytes, bytes]:
    match value:
        case [bytes() as key_id, bytes() as random] | [bytes() as key_id, bytes() as random, bool()] if (
            len(random) == RANDOM_BYTES
        ):
            return key_id, random
        case _:
            raise Malformed("its nonce is not one")


def _caveat(packed_type: bytes, packed_body: bytes) -> Caveat:
    kind = _value(packed_type)
    if not isinstance(kind, int) or isinstance(kind, bool):
        raise Malformed("a caveat has no type")
    return Caveat(type=kind, body=_value(packed_body), packed=_PACKED_PAIR + packed_type + packed_body)


class _Slices:
    """Walks through packed bytes and returns each value's own."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._unpacker = msgpack.Unpacker(max_buffer_size=LONGEST_TOKEN)
        self._unpacker.feed(data)

    @property
    def at_end(self) -> bool:
        return self._unpacker.tell() == len(self._data)

    def array(self) -> int:
        return int(self._unpacker.read_array_header())

    def expect_array(self, length: int) -> None:
        if self.array() != length:
            raise Malformed(f"it is not an array of {length}")

    def next(self) -> bytes:
        start = int(self._unpacker.tell())
        self._unpacker.skip()
        return self._data[start : int(self._unpacker.tell())]


def _value(packed: bytes) -> object:
    return cast(object, msgpack.unpackb(packed, strict_map_key=False))


def _pack(value: object) -> bytes:
    return cast(bytes, msgpack.packb(value))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _signed(tail: bytes, caveats: Sequence[Caveat]) -> bytes:
    for caveat in caveats:
        tail = _hmac(tail, caveat.packed)
    return tail


def _encode(nonce: bytes, caveats: Sequence[Caveat], tail: bytes) -> str:
    header = cast(bytes, msgpack.Packer().pack_array_header(2 * len(caveats)))
    # A caveat's own bytes without the array around them.
    flat = b"".join(caveat.packed.removeprefix(_PACKED_PAIR) for caveat in caveats)
    packed = b"\x94" + nonce + _pack(LOCATION) + header + flat + _pack(tail)
    return PREFIX + base64.b64encode(packed).decode()
