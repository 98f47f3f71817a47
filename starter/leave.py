"""The end of a process that used Temporal's client."""

import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Flush what was written and end the process with *code*.

    Not by way of the interpreter's shutdown: threads of Temporal's client that end during it abort the process.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # the reader, such as `head`, has what it wanted
            code = code or 1
    os._exit(code)
