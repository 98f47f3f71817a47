"""`python -m starter.prerequisites`: what `mpg doctor --fix` does, for the Makefile. Exit 1 if something is missing."""

import asyncio
import sys

from model.errors import InvalidInput
from model.settings import load_settings
from starter.prerequisites import ensure


def _say(line: str) -> None:
    # In one write: several prerequisites are seen to at once, each in a thread of its own.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """Return the exit code: 0 when everything is there."""
    try:
        results = asyncio.run(ensure(load_settings(), _say))
    except InvalidInput as error:
        _say(str(error))
        return 1
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
