"""Files that only their owner reads, written as a whole or not at all."""

import os
import secrets
from pathlib import Path


def put_if_absent(path: Path, content: bytes) -> None:
    """Make the file *path* with mode 0600; one that is there already stays as it is."""
    if path.exists():
        return
    draft = _draft(path, content)
    try:
        os.link(draft, path)  # fails where the name is taken, unlike a rename
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def put(path: Path, content: bytes) -> None:
    """Make or replace the file *path*, with mode 0600: a reader sees the one before or this one."""
    draft = _draft(path, content)
    try:
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _draft(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
