"""The wire form, checked against a second implementation of the contract that shares no line with ours."""

import base64
import hashlib
import hmac
import random
from typing import Any

import msgpack as _msgpack
import pytest

from starter.tokens.grants import CaveatType, only_cluster, read_only, validity
from starter.tokens.macaroon import Caveat, Malformed, attenuate, decode, is_genuine, mint

msgpack: Any = _msgpack
KEY = bytes(range(32))
KEY_ID = b"which key"
RANDOM = bytes(range(16))
LOCATION = "https://api.fly.io/v1"


def packed(*parts: object) -> str:
    return "fm2_" + base64.b64encode(msgpack.packb(list(parts))).decode()


def tail_of(nonce: list[object], *caveats: list[object]) -> bytes:
    tail = hmac.new(KEY, msgpack.packb(nonce), hashlib.sha256).digest()
    for caveat in caveats:
        tail = hmac.new(tail, msgpack.packb(caveat), hashlib.sha256).digest()
    return tail


def unpacked(token: str) -> list[object]:
    return msgpack.unpackb(base64.b64decode(token.removeprefix("fm2_")))


def test_a_token_without_caveats_is_the_contract_to_the_letter() -> None:
    nonce: list[object] = [KEY_ID, RANDOM]
    assert mint(KEY, KEY_ID, RANDOM) == packed(nonce, LOCATION, [], tail_of(nonce))


def test_caveats_are_a_flat_array_and_each_is_signed() -> None:
    token = mint(KEY, KEY_ID, RANDOM, [validity(100, 200), read_only()])
    nonce, location, caveats, tail = unpacked(token)
    assert (nonce, location) == ([KEY_ID, RANDOM], LOCATION)
    assert caveats == [4, [100, 200], CaveatType.READ_ONLY, []]
    assert tail == tail_of([KEY_ID, RANDOM], [4, [100, 200]], [CaveatType.READ_ONLY, []])
    assert is_genuine(decode(token), KEY)


@pytest.mark.parametrize("third", [True, False])
def test_a_nonce_may_have_a_third_element(third: bool) -> None:
    nonce: list[object] = [KEY_ID, RANDOM, third]
    assert is_genuine(decode(packed(nonce, LOCATION, [], tail_of(nonce))), KEY)


def test_a_token_signed_over_wider_integers_is_genuine() -> None:
    """Another program may pack 200 in eight bytes; what it signed is what came."""
    body = b"\x92" + b"\xcf" + (100).to_bytes(8, "big") + b"\xcf" + (200).to_bytes(8, "big")
    nonce = msgpack.packb([KEY_ID, RANDOM])
    tail = hmac.digest(hmac.digest(KEY, nonce, "sha256"), b"\x92\x04" + body, "sha256")
    raw = b"\x94" + nonce + msgpack.packb(LOCATION) + b"\x92\x04" + body + msgpack.packb(tail)
    found = decode("fm2_" + base64.b64encode(raw).decode())
    assert is_genuine(found, KEY)
    assert found.caveats[0].body == [100, 200]


def test_a_holder_adds_a_caveat_without_the_key_and_cannot_take_it_away() -> None:
    token = mint(KEY, KEY_ID, RANDOM, [validity(100, 200)])
    narrowed = attenuate(token, [only_cluster("c" * 16)])
    assert narrowed == mint(KEY, KEY_ID, RANDOM, [validity(100, 200), only_cluster("c" * 16)])
    nonce, location, caveats, tail = unpacked(narrowed)
    assert isinstance(caveats, list)
    for fewer in ([], caveats[:2], caveats[2:]):
        assert not is_genuine(decode(packed(nonce, location, fewer, tail)), KEY)


def test_another_key_did_not_sign_it() -> None:
    assert not is_genuine(decode(mint(KEY, KEY_ID, RANDOM)), KEY[::-1])


NONCE = [KEY_ID, RANDOM]
TAIL = b"t" * 32


@pytest.mark.parametrize(
    "token",
    [
        "",
        "fm2_",
        "fm1_" + mint(KEY, KEY_ID, RANDOM)[4:],
        mint(KEY, KEY_ID, RANDOM).rstrip("=")[:-1],
        mint(KEY, KEY_ID, RANDOM) + "AAAA",
        "fm2_" + "A" * 10_000,
        "fm2_" + "ä" * 20,
        packed(NONCE, LOCATION, []),
        packed(NONCE, LOCATION, [], TAIL, 1),
        packed(NONCE, "https://example.com", [], TAIL),
        packed(NONCE, LOCATION, [4], TAIL),
        packed(NONCE, LOCATION, ["four", []], TAIL),
        packed(NONCE, LOCATION, [True, []], TAIL),
        packed(NONCE, LOCATION, [4, []] * 65, TAIL),
        packed(NONCE, LOCATION, {}, TAIL),
        packed(NONCE, LOCATION, [], "text"),
        packed([KEY_ID], LOCATION, [], TAIL),
        packed([KEY_ID, RANDOM[1:]], LOCATION, [], TAIL),
        packed([KEY_ID, RANDOM, 1], LOCATION, [], TAIL),
        packed("nonce", LOCATION, [], TAIL),
        "fm2_" + base64.b64encode(b"\x94" + b"\x91" * 3000).decode(),
        "fm2_" + base64.b64encode(b"\xdd\xff\xff\xff\xff").decode(),
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(Malformed):
        decode(token)


def test_any_change_of_a_byte_is_malformed_or_not_genuine() -> None:
    """30,000 changes at random places; a fixed seed, so that a failure can be repeated."""
    raw = base64.b64decode(mint(KEY, KEY_ID, RANDOM, [validity(100, 200), Caveat.of(7, ["x", None, b"y"])])[4:])
    chance = random.Random(14)
    for _ in range(30_000):
        changed = bytearray(raw)
        match chance.randrange(3):
            case 0:
                changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
            case 1:
                del changed[chance.randrange(len(changed)) :]
            case _:
                changed.insert(chance.randrange(len(changed) + 1), chance.randrange(256))
        if changed == raw:
            continue
        try:
            found = decode("fm2_" + base64.b64encode(bytes(changed)).decode())
        except Malformed:
            continue
        assert not is_genuine(found, KEY)
