"""Where things that are costly to make are kept for the next stack of this user, whatever its state directory."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return this user's cache directory, made if it is not there: ``$XDG_CACHE_HOME/mpg`` or ``~/.cache/mpg``."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    path = base / "mpg"
    path.mkdir(parents=True, exist_ok=True)
    return path
