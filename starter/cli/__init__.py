"""The `mpg` command. :func:`main` is its entry point; one module per group of commands."""

import gc
import os

from starter.leave import leave

__all__ = ["main"]


def main() -> None:
    """Run the command in ``sys.argv`` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # A command lives for less than a second, most of it imports: a tenth of that would be garbage collection.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from starter.cli.app import app

    code = 0
    try:
        app(prog_name="mpg")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    leave(code)
