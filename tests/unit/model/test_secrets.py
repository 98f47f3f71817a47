"""Derived passwords and their verifiers."""

import base64
import hashlib
import hmac
import re

import pytest

from model.secrets import (
    MOST_VERSIONS,
    SCRAM_ITERATIONS,
    derive_password,
    find_password_version,
    key_id,
    scram_verifier,
)

KEY, CLUSTER = b"k" * 32, "0123456789abcdef"


def test_password_is_the_same_every_time_and_needs_no_quoting() -> None:
    password = derive_password(KEY, CLUSTER, "ann")
    assert password == derive_password(KEY, CLUSTER, "ann", 1)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", password)


def test_password_is_known_across_releases() -> None:
    """Another derivation would lock every client of every cluster out."""
    assert derive_password(KEY, CLUSTER, "ann") == "4PpinObE-dM0YwIsLKc81olo5GViDWma"


@pytest.mark.parametrize(
    "other",
    [(b"x" * 32, CLUSTER, "ann", 1), (KEY, "f" * 16, "ann", 1), (KEY, CLUSTER, "bob", 1), (KEY, CLUSTER, "ann", 2)],
)
def test_password_depends_on_key_cluster_user_and_version(other: tuple[bytes, str, str, int]) -> None:
    assert derive_password(*other) != derive_password(KEY, CLUSTER, "ann", 1)


def test_neighbouring_parts_do_not_run_into_each_other() -> None:
    assert derive_password(KEY, "ab", "c") != derive_password(KEY, "a", "bc")
    assert derive_password(KEY, CLUSTER, "a", 11) != derive_password(KEY, CLUSTER, "a1", 1)


def test_verifier_is_that_of_the_password() -> None:
    """RFC 5802: StoredKey = H(HMAC(salted, "Client Key")), ServerKey = HMAC(salted, "Server Key")."""
    form, keys = scram_verifier(KEY, CLUSTER, "ä", 3).split("$", 1)[0], scram_verifier(KEY, CLUSTER, "ä", 3)
    match = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", keys)
    assert form == "SCRAM-SHA-256"
    assert match is not None
    iterations, salt, stored, server = match.groups()
    password = derive_password(KEY, CLUSTER, "ä", 3).encode()
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), int(iterations))
    assert int(iterations) == SCRAM_ITERATIONS
    assert hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest() == base64.b64decode(stored)
    assert hmac.digest(salted, b"Server Key", "sha256") == base64.b64decode(server)


def test_verifier_changes_with_the_version_and_does_not_hold_the_password() -> None:
    first, second = scram_verifier(KEY, CLUSTER, "ann", 1), scram_verifier(KEY, CLUSTER, "ann", 2)
    assert first.split("$")[1] != second.split("$")[1]
    assert derive_password(KEY, CLUSTER, "ann") not in first


@pytest.mark.parametrize("version", [1, 2, 40])
def test_version_of_a_password_is_found_by_its_verifier(version: int) -> None:
    verifier = scram_verifier(KEY, CLUSTER, "ann", version)
    assert find_password_version(KEY, CLUSTER, "ann", verifier) == version


def test_version_is_not_found_where_the_password_is_somebody_elses() -> None:
    verifier = scram_verifier(KEY, CLUSTER, "ann", 3)
    form, keys = verifier.split("$", 1)
    assert find_password_version(b"x" * 32, CLUSTER, "ann", verifier) is None
    assert find_password_version(KEY, CLUSTER, "bob", verifier) is None
    too_late = scram_verifier(KEY, CLUSTER, "ann", MOST_VERSIONS + 1)
    assert find_password_version(KEY, CLUSTER, "ann", too_late) is None
    assert find_password_version(KEY, CLUSTER, "ann", f"{form}${keys[:-4]}AAA=") is None
    assert find_password_version(KEY, CLUSTER, "ann", "md5" + "0" * 32) is None
    assert find_password_version(KEY, CLUSTER, "ann", None) is None


def test_key_id_tells_keys_apart_and_holds_nothing_of_them() -> None:
    assert re.fullmatch("[0-9a-f]{16}", key_id(KEY))
    assert key_id(KEY) == key_id(KEY)
    assert key_id(KEY) != key_id(b"x" * 32)
    assert KEY.hex()[:16] != key_id(KEY)
