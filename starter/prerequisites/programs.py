"""Programs that are looked for in several places, and got into the cache by the first of several ways that works."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from starter.prerequisites.command import CommandFailed
from starter.prerequisites.result import Missing, OnProgress


def first_program(candidates: Iterable[Path]) -> Path | None:
    """Return the first of *candidates* that can be run."""
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def obtain(
    directory: Path, name: str, ways: Sequence[Callable[[Path], None]], on_progress: OnProgress, *, otherwise: str
) -> Path:
    """Return the program *name* in *directory*, put there by the first of *ways* that does not fail.

    Each is given a directory of its own, on the same file system, which is removed afterwards. The caller holds a lock.

    Raises:
        Missing: none worked; *otherwise* says what else can be done.
    """
    directory.mkdir(parents=True, exist_ok=True)
    prefix = f".{name}-"
    for abandoned in directory.glob(f"{prefix}*"):  # by one that was killed: nobody else is here
        shutil.rmtree(abandoned, ignore_errors=True)
    problems: list[str] = []
    for way in ways:
        with tempfile.TemporaryDirectory(dir=directory, prefix=prefix) as fresh:
            try:
                way(Path(fresh))
            except CommandFailed as error:
                problems.append(str(error))
                on_progress(str(error))
            else:
                return directory / name
    raise Missing(f"There is no '{name}' program and it could not be had: {'; '.join(problems)}.", otherwise)
