"""``python -m bench [section …] [--quick|--full] [--json FILE]``: measure, then print one table.

Exit code 0 when every section ran, whatever its figures; 1 when one failed. Progress goes to stderr.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import (
    api,
    backup,
    create,
    failover,
    fleet,
    hops,
    idle,
    operations,
    orchestrator,
    pitr,
    profile,
    quickstart,
    restore,
    scale,
    users,
)
from bench.machine import machine_lines
from bench.peers import section as peers
from bench.report import Report
from bench.run import Run, Size
from bench.workspace import Workspace, in_thread, open_workspace, say
from starter.leave import leave
from starter.prerequisites.temporal_binary import find_temporal

_LOG_LINES, _LOG_WIDTH = 20, 400
Section = Callable[[Run], Awaitable[None]]


async def _tabs(run: Run) -> None:
    """Needs playwright, as the dashboard's section does."""
    from bench import open_tabs

    await open_tabs.measure(run)


async def _dashboard(run: Run) -> None:
    # What drives the browser is there only for whom tests the pages: `make .venv/.browser`.
    from bench import dashboard

    await dashboard.measure(run)


SECTIONS: dict[str, Section] = {
    "create": create.measure,
    "users": users.measure,
    "profile": profile.measure,
    "idle": idle.measure,
    "switchover": operations.measure,
    "failover": failover.measure,
    "hops": hops.measure,
    "orchestrator": orchestrator.measure,
    "scale": scale.measure,
    "fleet": fleet.measure,
    "api": api.measure,
    "dashboard": _dashboard,
    "tabs": _tabs,
    "backup": backup.measure,
    "pitr": pitr.measure,
    "restore": restore.measure,
    "quickstart": quickstart.measure,
    "peers": peers.measure,
}
ON_REQUEST = ("peers", "dashboard", "tabs")
"""Sections that run only when they are named: one installs another product, one needs what drives a browser."""
BY_DEFAULT = tuple(name for name in SECTIONS if name not in ON_REQUEST)


def arguments(given: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product beside a scripted floor.")
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="section",
        help=f"any of {', '.join(SECTIONS)}; by default all but {', '.join(ON_REQUEST)}, which fetches Patroni with "
        "pip and Debian's packages for an image of its own, and removes it afterwards",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="size", const=Size.QUICK, help="only see that it works")
    size.add_argument("--full", action="store_const", dest="size", const=Size.FULL, help="also the largest sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value there as well")
    parser.set_defaults(size=Size.NORMAL)
    parsed = parser.parse_args(given)
    if unknown := [name for name in parsed.sections if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}")
    return parsed


async def bench(chosen: argparse.Namespace) -> int:
    """Run the sections and print the report; a section that fails does not stop the next."""
    failed = 0
    async with open_workspace() as workspace:
        run = Run(workspace, chosen.size)
        machine = await _machine(workspace)
        try:
            for name in chosen.sections or BY_DEFAULT:
                failed += not await _section(name, run)
        finally:
            await run.close()
            _publish(Report(machine=machine, rows=tuple(run.rows), remarks=tuple(run.remarks)), chosen.json)
    return 1 if failed else 0


async def _section(name: str, run: Run) -> bool:
    say(f"section {name}")
    try:
        await SECTIONS[name](run)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines() or [type(error).__name__]
        run.remark(f"Section {name} failed: {said[0]}")
        _show_logs(run.workspace)
        return False
    finally:
        await run.workspace.remove()
    return True


def _show_logs(workspace: Workspace) -> None:
    """Say how the workers' logs end, before they are removed with the workspace."""
    for log in sorted(workspace.home.glob("*/logs/worker*.log")):
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        print(f"--- end of {log}", *(line[:_LOG_WIDTH] for line in lines), sep="\n", file=sys.stderr)


async def _machine(workspace: Workspace) -> tuple[str, ...]:
    temporal = find_temporal(workspace.settings("machine"))
    lines = await in_thread(machine_lines, workspace.docker, workspace.image, str(temporal) if temporal else None)
    load = os.getloadavg()[0]
    busy = (
        f"Other work kept {load:.1f} processes busy when it began."
        if load > 0.5
        else "The machine was idle when it began."
    )
    return (*lines, busy)


def _publish(report: Report, json_file: Path | None) -> None:
    print(report.markdown(), flush=True)
    if json_file is not None:
        json_file.write_text(report.as_json())


def main() -> int:
    """Run the command; Ctrl-C and SIGTERM end it with what was measured so far, and nothing left behind."""
    chosen = arguments(sys.argv[1:])

    async def interruptible() -> int:
        task = asyncio.create_task(bench(chosen))
        for stopping in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(stopping, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            return await task
        return 130

    return asyncio.run(interruptible())


if __name__ == "__main__":
    leave(main())
