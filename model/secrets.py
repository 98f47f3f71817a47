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


def _derive(master_key: bytes, purpose: str, cluster_id: str, user: str, version: int, length: int) -> bytes:
    # Lengths before the parts: no two different triples give the same bytes.
    parts = [purpose, cluster_id, user, str(version)]
    info = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return HKDF(algorithm=SHA256(), length=length, salt=b"mpg/v1", info=info).derive(master_key)


@lru_cache(maxsize=4096)
def derive_password(master_key: bytes, cluster_id: str, user: str, version: int = 1) -> str:
    """Return the password of *user*: 32 characters that need no quoting in a connection string."""
    return base64.urlsafe_b64encode(_derive(master_key, "password", cluster_id, user, version, 24)).decode()


@lru_cache(maxsize=4096)
def scram_verifier(master_key: bytes, cluster_id: str, user: str, version: int = 1) -> str:
    """Return what Postgres stores for :func:`derive_password`: ``SCRAM-SHA-256$iterations:salt$stored:server``."""
    password = derive_password(master_key, cluster_id, user, version).encode()
    salt = _derive(master_key, "salt", cluster_id, user, version, 16)
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
