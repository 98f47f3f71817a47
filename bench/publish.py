"""``python -m bench.publish FILE…``: put results of ``python -m bench --json FILE`` into README and docs.

README gets a dozen lines and the picture, docs/measured.md everything.

Several files may hold sections that ran at different times; a section in a later file replaces that of an earlier one.
Lines that no file has stay as they are published, and the table says so.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import plot
from bench.others import DOCUMENTED
from bench.report import Cells, Report, Row, table_lines
from bench.workspace import REPOSITORY

_OLDER = " †"
HEADLINES = (
    ("switchover", "Switchover, 8 clients, simple: longest wait"),
    ("switchover", "Switchover, 8 clients, simple: failed transactions"),
    ("switchover", "ChangePlan, 8 clients, simple: longest wait"),
    ("switchover", "ChangePlan, 8 clients, simple: failed transactions"),
    ("switchover", "SetPoolMode, 8 clients, simple: longest wait"),
    ("failover", "primary killed, 8 writers: longest wait"),
    ("failover", "primary killed, 8 writers: acknowledged rows lost"),
    ("create", "to a first query, pooled"),
    ("pitr", "acknowledged before the mark and not there"),
    ("restore", "fork of an empty cluster: to a first query, pooled"),
    ("users", "CreateUser"),
    ("scale", "1000 clusters: … and Temporal's"),
)
"""Lines of the whole table that README shows."""
_SHOWN = {
    "section": 0,
    "what": 1,
    "unit": 2,
    "n": 3,
    "median": 4,
    "worst": 6,
    "script": 7,
    "script's worst": 8,
    "target": 10,
}
"""Columns of them, with their place in a line."""
README, MEASURED, PICTURE = (REPOSITORY / name for name in ("README.md", "docs/measured.md", "docs/stall.svg"))


def merged(reports: Sequence[Report]) -> Report:
    """Return *reports* as one. Lines about the machine and remarks are kept once each."""
    sections: dict[str, tuple[Row, ...]] = {}
    for report in reports:
        for section in dict.fromkeys(row.section for row in report.rows):
            sections[section] = tuple(row for row in report.rows if row.section == section)
    return Report(
        machine=tuple(dict.fromkeys(line for report in reports for line in report.machine)),
        rows=tuple(row for rows in sections.values() for row in rows),
        remarks=tuple(dict.fromkeys(remark for report in reports for remark in report.remarks)),
    )


def with_block(text: str, name: str, content: str) -> str:
    """Return *text* with what is between the markers of *name* replaced. Raises ``ValueError`` without markers."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"There are no markers of a block {name!r}.")
    return f"{before}{begin}{content}{end}{after}"


def kept_lines(text: str, report: Report) -> list[Cells]:
    """Return the lines of the table in *text* that *report* has not measured again, marked as older."""
    measured = {(cells[0], _bare(cells[1])) for cells in table_lines(report.markdown())}
    found = [(cells[0].removesuffix(_OLDER), *cells[1:]) for cells in table_lines(text)]
    return [(cells[0] + _OLDER, *cells[1:]) for cells in found if (cells[0], _bare(cells[1])) not in measured]


def saying_what_is_kept(report: Report, kept: Sequence[Cells]) -> Report:
    """Return *report* with a remark about the lines in *kept*."""
    said = (f"{_OLDER.strip()} From an earlier run than the rest, maybe on another machine.",) if kept else ()
    return report.model_copy(update={"remarks": (*report.remarks, *said)})


def _bare(name: str) -> str:
    """Return the name of a line without its note, which has what was counted in it."""
    return name.partition(" (")[0]


def headlines(lines: Sequence[Cells]) -> str:
    """Return the table of README: :data:`HEADLINES`, as far as *lines* of the whole table have them."""
    found = {(cells[0].removesuffix(_OLDER), _bare(cells[1])): cells for cells in lines}
    chosen = [found[key] for key in HEADLINES if key in found]
    rows = [tuple(_SHOWN), ("---",) * len(_SHOWN), *(tuple(cells[at] for at in _SHOWN.values()) for cells in chosen)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def picture_block() -> str:
    """Return what README says about the picture."""
    return (
        "![How long clients wait](docs/stall.svg)\n\n"
        "Solid is the median or what is typical, pale the worst or the bound that is stated. Blue and grey were\n"
        "measured on one machine; the others are what these systems' own pages state\n"
        "([sources](docs/measured.md#the-picture)), for nodes on several machines, with networks and storage between\n"
        "them: orders of magnitude, no race.\n"
    )


def sources_block() -> str:
    """Return a source for each figure of the picture that was not measured."""
    lines = [f"- {each.system.partition(',')[0]}: {each.says} ([source]({each.source}))." for each in DOCUMENTED]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command: 0 when the files were written; 1 when there was nothing to show."""
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description="Put results into README and docs.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what `python -m bench --json FILE` wrote")
    report = merged([Report.read(file.read_text()) for file in parser.parse_args().files])
    if not report.rows:
        print("These files hold no results.", file=sys.stderr)
        return 1
    kept = kept_lines(MEASURED.read_text(), report)
    shown = saying_what_is_kept(report, kept)
    table = shown.markdown(kept)
    text = with_block(MEASURED.read_text(), "bench", table)
    MEASURED.write_text(with_block(text, "sources", sources_block()))
    text = with_block(README.read_text(), "bench", headlines(table_lines(table)))
    README.write_text(with_block(text, "stall", picture_block()))
    if lacking := plot.missing(report.rows):
        print(f"The picture stays as it is. No file has {'; '.join(lacking)}.", file=sys.stderr)
    else:
        PICTURE.write_text(plot.draw(plot.bars(report.rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
