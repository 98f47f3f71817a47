"""Issuing, verifying and revoking, with the files that hold it."""

import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model.errors import NotFound, Refused
from starter.tokens.grants import only_cluster
from starter.tokens.keyring import KEPT_SECONDS, Keyring, TokenRefused
from starter.tokens.macaroon import Caveat, attenuate, decode, mint

HOUR = 3600


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Held:
    """A keyring in a directory, and the clock that it goes by."""

    directory: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def ring(self) -> Keyring:
        return Keyring(self.directory, clock=self.clock)


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path / "api")


def why_refused(ring: Keyring, token: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        ring.verify(token)
    return str(caught.value)


def test_what_was_issued_is_verified_by_another_process(held: Held) -> None:
    issued = held.ring.issue(expires_in_s=HOUR, read_only=True, organization="shop", cluster="c" * 16)
    grant = held.ring.verify(held.ring.text(issued))
    assert (grant.token_id, grant.read_only) == (issued.id, True)
    assert grant.covers_cluster("shop", "c" * 16)
    assert not grant.covers_cluster("personal", "c" * 16)


def test_files_are_for_their_owner_only_and_hold_no_token(held: Held) -> None:
    token = held.ring.text(held.ring.issue())
    for name in ("key", "tokens.json"):
        assert stat.S_IMODE((held.directory / name).stat().st_mode) == 0o600
    assert token not in (held.directory / "tokens.json").read_text()


def test_a_token_is_over_a_second_after_its_expiry(held: Held) -> None:
    ring = held.ring
    token = ring.text(ring.issue(expires_in_s=HOUR))
    held.clock.now += HOUR
    ring.verify(token)
    held.clock.now += 1
    assert "expired" in why_refused(ring, token)


def test_revoking_reaches_a_process_that_runs_and_all_that_was_made_from_the_token(held: Held) -> None:
    serving, issued = held.ring, held.ring.issue()
    token = serving.text(issued)
    narrowed = attenuate(token, [only_cluster("c" * 16)])
    serving.verify(narrowed)
    assert held.ring.revoke(issued.id).revoked_at is not None
    assert "revoked" in why_refused(serving, token)
    assert "revoked" in why_refused(serving, narrowed)
    assert held.ring.revoke(issued.id) == held.ring.issued()[0]


def test_revoking_what_was_never_issued_is_refused(held: Held) -> None:
    with pytest.raises(NotFound):
        held.ring.revoke("0" * 32)


def test_another_stack_s_token_is_not_accepted(held: Held, tmp_path: Path) -> None:
    held.ring.issue()
    elsewhere = Keyring(tmp_path / "elsewhere", clock=held.clock)
    assert "not signed here" in why_refused(held.ring, elsewhere.text(elsewhere.issue()))


def test_a_token_that_is_not_on_record_lets_nobody_in(held: Held) -> None:
    token = held.ring.text(held.ring.issue())
    (held.directory / "tokens.json").unlink()
    assert "not on record" in why_refused(held.ring, token)


def test_a_wrong_tail_is_refused_though_its_id_is_on_record(held: Held) -> None:
    issued = held.ring.issue()
    key_id = decode(held.ring.text(issued)).key_id
    forged = mint(b"x" * 32, key_id, bytes.fromhex(issued.id))
    assert "not signed here" in why_refused(held.ring, forged)


def test_a_caveat_that_is_not_understood_is_told_apart(held: Held) -> None:
    issued = held.ring.issue()
    with pytest.raises(TokenRefused) as caught:
        held.ring.verify(attenuate(held.ring.text(issued), [Caveat.of(99, [])]))
    assert (caught.value.understood, caught.value.token_id) == (False, issued.id)


def test_the_record_forgets_what_ended_long_ago(held: Held) -> None:
    over, lasting = held.ring.issue(expires_in_s=HOUR), held.ring.issue()
    held.clock.now += HOUR + KEPT_SECONDS + 1
    latest = held.ring.issue()
    assert [token.id for token in held.ring.issued()] == [lasting.id, latest.id]
    assert "not on record" in why_refused(held.ring, held.ring.text(over))


def test_a_key_that_others_may_read_is_not_used(held: Held) -> None:
    token = held.ring.text(held.ring.issue())
    (held.directory / "key").chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        held.ring.verify(token)


def test_a_record_that_cannot_be_read_is_neither_used_nor_replaced(held: Held) -> None:
    held.ring.issue()
    record = held.directory / "tokens.json"
    record.write_text("{")
    with pytest.raises(Refused, match="can't be read"):
        held.ring.issue()
    assert record.read_text() == "{"
