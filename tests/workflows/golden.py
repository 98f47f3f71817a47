"""What each operation does, kept as text files: a change of order shows in the diff.

A file has one section a way of ending: ``== done``, ``== fails at …`` and ``== is cancelled at …``, one for each effect
of the first. ``pytest tests/workflows --update-golden`` writes them anew.
"""

from pathlib import Path

DONE = "done"
_FOLDER = Path(__file__).parent / "golden"
_NOT_EFFECTS = ("commit ", "signal ", "start ")


def read(scenario: str) -> dict[str, list[str]]:
    """The sections of *scenario*'s file, by title."""
    sections: dict[str, list[str]] = {}
    path = _FOLDER / f"{scenario}.txt"
    lines: list[str] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("== "):
            lines = sections.setdefault(line.removeprefix("== "), [])
        elif line:
            lines.append(line)
    return sections


def write(scenario: str, title: str, lines: list[str]) -> None:
    """Put a section into *scenario*'s file."""
    sections = read(scenario) | {title: lines}
    text = "\n\n".join("\n".join([f"== {title}", *lines]) for title, lines in sections.items())
    (_FOLDER / f"{scenario}.txt").write_text(text + "\n")


def effects(scenario: str) -> list[tuple[str, int]]:
    """The effects of *scenario* when all goes well, each with how often it had been asked for then (from 1)."""
    lines = [line for line in read(scenario).get(DONE, []) if not line.startswith(_NOT_EFFECTS)]
    return [(line, lines[: index + 1].count(line)) for index, line in enumerate(lines)]


def title(verb: str, effect: str, occurrence: int) -> str:
    """The section of an operation that *verb* (``fails``, ``is cancelled``) at an effect."""
    return f"{verb} at {effect}" + (f" (time {occurrence})" if occurrence > 1 else "")
