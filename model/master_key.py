"""The file from which passwords are derived. Nothing else keeps them: a lost key is lost passwords."""

import os
import secrets
from pathlib import Path

from model.errors import Refused

KEY_BYTES = 32
"""Length of the key, as HKDF-SHA256 wants it (RFC 5869: at least the length of the hash)."""


def load_or_create_master_key(path: Path) -> bytes:
    """Return the 32 bytes in *path*, made with mode 0600 if there is no such file; an existing one is never replaced.

    Raises:
        Refused: the file is there but is not a key, or others than its owner may read it.
    """
    if not path.exists():
        _create(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Refused(f"{path} does not hold a master key of {KEY_BYTES} bytes.", remedy="Restore it from your backup.")
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others.", remedy=f"Run: chmod 600 {path}")
    return key


def _create(path: Path) -> None:
    """Put a new key at *path* as a whole or not at all; of two processes that try, the first one's key stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails where the name is taken, unlike a rename
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
