"""The file from which passwords are derived. Nothing else keeps them: a lost key is lost passwords."""

import secrets
import time
from pathlib import Path

from model.errors import Refused
from model.private_files import put_if_absent
from model.secrets import key_id

KEY_BYTES = 32
"""Length of the key, as HKDF-SHA256 wants it (RFC 5869: at least the length of the hash)."""
_SERVED = ("temporal.db", "run/workers")
"""What a stack that has served leaves beside its key. Directories of older versions have no record of it."""
_RESTORE = (
    "Restore the former one from your backup. Only if it is lost for good: 'mpg up --new-key', then "
    "'mpg adopt CLUSTER --new-key' for each cluster."
)


def load_or_create_master_key(path: Path) -> bytes:
    """Return the 32 bytes in *path*, made with mode 0600 where this state directory has never served with a key.

    An existing one is never replaced. Its id is recorded beside it the first time (:func:`key_record`).

    Raises:
        Refused: it is missing though there may be clusters that were made with it; or as :func:`load_master_key`.
    """
    # Looked at first: a key that another process makes meanwhile is not a lost one.
    served = has_served(path)
    if not path.exists():
        if served:
            raise _missing(path)
        put_if_absent(path, secrets.token_bytes(KEY_BYTES))
    key = load_master_key(path)
    put_if_absent(key_record(path), f"{key_id(key)}\n".encode())
    return key


def load_master_key(path: Path) -> bytes:
    """Return the 32 bytes in *path*.

    Raises:
        Refused: it is missing, it is not a key, others than its owner may read it, or it is another one than recorded.
    """
    key, recorded = _read(path), _recorded(path)
    if recorded not in {None, key_id(key)}:
        raise Refused(
            f"{path} is another key ({key_id(key)}) than this stack has served with ({recorded}).", remedy=_RESTORE
        )
    return key


def renew_master_key(path: Path) -> None:
    """Have the stack serve with another key than the one on record: what is in *path*, or a new one if it is missing.

    For a key that is lost for good. No cluster lets the stack in before it is adopted with it. The former record is
    kept under another name. Raises :class:`Refused` for a file that cannot be used.
    """
    record, recorded = key_record(path), _recorded(path)
    key = _read(path) if path.exists() else None
    if recorded is not None and (key is None or recorded != key_id(key)):
        record.rename(record.with_name(f"{record.name}.until-{int(time.time())}"))
    if key is None:
        put_if_absent(path, secrets.token_bytes(KEY_BYTES))
    load_or_create_master_key(path)


def has_served(path: Path) -> bool:
    """Tell whether the state directory of the key in *path* has served with one."""
    return key_record(path).exists() or any((path.parent / name).exists() for name in _SERVED)


def key_record(path: Path) -> Path:
    """Return the file that holds the id (:func:`model.secrets.key_id`) of the key that belongs in *path*."""
    return path.with_name(f"{path.name}.id")


def _recorded(path: Path) -> str | None:
    try:
        return key_record(path).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def _missing(path: Path) -> Refused:
    recorded = _recorded(path)
    which = f" with id {recorded}" if recorded else ""
    return Refused(f"There is no {path}, and this stack has served with a master key{which}.", remedy=_RESTORE)


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    if len(key) != KEY_BYTES:
        raise Refused(f"{path} does not hold a master key of {KEY_BYTES} bytes.", remedy="Restore it from your backup.")
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others.", remedy=f"Run: chmod 600 {path}")
    return key
