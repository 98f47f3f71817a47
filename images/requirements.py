"""Print what of a constraints file with hashes the program itself needs, without what only its tests do."""

import re
import sys
import tomllib
from pathlib import Path

_NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==")
_COMMENT = re.compile(r"^\s+#\s+(?:via\s+)?(\S+)")


def needed(constraints: str, pyproject: str) -> str:
    """Return the entries of *constraints* that the dependencies in *pyproject* lead to."""
    wanted = {_plain(re.split(r"[\[<>=~! ]", line)[0]) for line in tomllib.loads(pyproject)["project"]["dependencies"]}
    entries = _entries(constraints)
    while more := {name for name, entry in entries.items() if name not in wanted and _for(entry) & wanted}:
        wanted |= more
    return "\n".join(line for name, entry in entries.items() if name in wanted for line in entry)


def _entries(constraints: str) -> dict[str, list[str]]:
    entries: dict[str, list[str]] = {}
    entry: list[str] = []
    for line in constraints.splitlines():
        if found := _NAME.match(line):
            entry = entries.setdefault(_plain(found[1]), [])
        entry.append(line)
    return entries


def _for(entry: list[str]) -> set[str]:
    return {_plain(found[1]) for line in entry if (found := _COMMENT.match(line))}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(needed(*(Path(each).read_text() for each in sys.argv[1:3])))
