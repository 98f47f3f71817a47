"""Results on stdout: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from model.base import Record

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: Record | Sequence[Record]) -> None:
    """Print one JSON document and nothing else."""
    one = isinstance(value, Record)
    documents = [item.model_dump(mode="json", by_alias=True) for item in ([value] if one else value)]
    print(json.dumps(documents[0] if one else documents, indent=2, ensure_ascii=False))


def console(*, stderr: bool = False) -> "Console":
    """Return a console that does not invent emphasis, and does not wrap what is read by a program."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, width=None if stream.isatty() else 200)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows* under *columns*; None is shown as a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("–" if cell is None or cell == "" else str(cell)) for cell in row))
    console().print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; long values are never wrapped, so that they can be copied."""
    pairs = [(name, "–" if value is None else str(value)) for name, value in fields]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")
