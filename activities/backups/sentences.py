"""pgBackRest's errors as one sentence."""

import re

_ERROR = re.compile(r"ERROR: \[\d+\]: (.*(?:\n(?!\d{4}-|P\d\d ).+)*)")
"""``P00  ERROR: [055]: what went wrong``, with lines after it that say more and how to help."""
LONGEST = 400


def sentence(log: str) -> str:
    """Return the last error in *log* without its hints and the period; its last line where there is no error."""
    said = _ERROR.findall(log)
    if not said:
        return " ".join(log.rpartition("\n")[2].split()).rstrip(".")
    return " ".join(said[-1].partition("HINT:")[0].split())[:LONGEST].rstrip(".:")
