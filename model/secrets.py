"""Passwords: derived where they are needed, stored nowhere.

A password is HKDF-SHA256 (RFC 5869) of the master key over (cluster id, user, version); rotating it is version + 1.
Postgres keeps a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677) that is computed here, so that no password is ever in a
statement or a log. The verifier's salt is derived too: computing it again gives the same one.
"""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SCRAM_ITERATIONS = 4096
"""Postgres's default (scram_iterations)."""
MOST_VERSIONS = 10_000
"""How many versions of a password are tried to find the one in force: 60 ms of work for a user that has none."""


def _derive(master_key: bytes, purpose: str, cluster_id: str, user: str, version: int, length: int) -> bytes:
    # Lengths before the parts: no two different triples give the same bytes.
    parts = [purpose, cluster_id, user, str(version)]
    info = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return HKDF(algorithm=SHA256(), length=length, salt=b"mpg/v1", info=info).derive(master_key)


def _salt(master_key: bytes, cluster_id: str, user: str, version: int) -> bytes:
    return _derive(master_key, "salt", cluster_id, user, version, 16)


@lru_cache(maxsize=4096)
def derive_password(master_key: bytes, cluster_id: str, user: str, version: int = 1) -> str:
    """Return the password of *user*: 32 characters that need no quoting in a connection string."""
    return base64.urlsafe_b64encode(_derive(master_key, "password", cluster_id, user, version, 24)).decode()


@lru_cache(maxsize=4096)
def scram_verifier(master_key: bytes, cluster_id: str, user: str, version: int = 1) -> str:
    """Return what Postgres stores for :func:`derive_password`: ``SCRAM-SHA-256$iterations:salt$stored:server``."""
    password = derive_password(master_key, cluster_id, user, version).encode()
    salt = _salt(master_key, cluster_id, user, version)
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"


def repository_key(master_key: bytes, cluster_id: str) -> str:
    """Return the passphrase of a cluster's backups: 64 characters, from 48 bytes."""
    return base64.urlsafe_b64encode(_derive(master_key, "backup", cluster_id, "", 1, 48)).decode()


def webhook_secret(master_key: bytes, organization: str, webhook_id: str, version: int = 1) -> str:
    """Return what deliveries to a webhook are signed with: ``whsec_`` and 24 bytes in base64 (Standard Webhooks)."""
    key = _derive(master_key, "webhook", organization, webhook_id, version, 24)
    return f"whsec_{base64.b64encode(key).decode()}"


def key_id(master_key: bytes) -> str:
    """Return 16 hexadecimal digits that tell one master key from another, and nothing about either."""
    return _derive(master_key, "key id", "", "", 0, 8).hex()


def find_password_version(master_key: bytes, cluster_id: str, user: str, verifier: str | None) -> int | None:
    """Return the version of the derived password that *verifier* stands for; None when it is none of them.

    Nobody logs in for this: the salt is derived as well, so versions are told apart by it, and only one whose salt is
    the verifier's is computed in full.
    """
    if verifier is None:
        return None
    for version in range(1, MOST_VERSIONS + 1):
        salt = base64.b64encode(_salt(master_key, cluster_id, user, version)).decode()
        if f":{salt}$" in verifier:
            same = hmac.compare_digest(scram_verifier(master_key, cluster_id, user, version), verifier)
            return version if same else None
    return None
