"""``python -m bench.publish FILE…``: put results of ``python -m bench --json FILE`` into README and docs.

README gets what there is a target for and the picture, docs/measured.md everything.

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


def stall_block() -> str:
    """Return what README says about the picture, with a source for each figure that was not measured."""
    lines = [
        "![How long clients wait](docs/stall.svg)",
        "",
        "Solid is the median or what is typical, pale the worst or the bound that is stated. The blue and grey bars",
        "were measured on one machine, by `make bench`; the others are what these systems' own pages state, for nodes",
        "on several machines, which have networks, storage and name servers between them: orders of magnitude, no",
        "race.",
        "",
    ]
    lines += [f"- {each.system.partition(',')[0]}: {each.says} ([source]({each.source}))." for each in DOCUMENTED]
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
    with_target = [cells for cells in kept if cells[-1]]
    text = with_block(README.read_text(), "bench", shown.about_targets.markdown(with_target))
    README.write_text(with_block(text, "stall", stall_block()))
    MEASURED.write_text(with_block(MEASURED.read_text(), "bench", shown.markdown(kept)))
    if lacking := plot.missing(report.rows):
        print(f"The picture stays as it is. No file has {'; '.join(lacking)}.", file=sys.stderr)
    else:
        PICTURE.write_text(plot.draw(plot.bars(report.rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
