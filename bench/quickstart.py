"""A warm ``make quickstart``: everything installed and cached, the stack down, no cluster there."""

import asyncio
import os
import signal
import time

from bench.report import Row, at_most
from bench.run import Run
from bench.workspace import REPOSITORY
from starter.stack import embedded as stack

SECTION = "quickstart"
_BOUND_S = 300


async def measure(run: Run) -> None:
    """Run it with a state directory and ports of its own; what it leaves is removed."""
    took: list[float] = []
    for number in range(run.count(1, 2, 3)):
        settings = run.workspace.settings(f"quickstart-{number}")
        environment = settings.child_environment(os.environ)
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            "make", "quickstart", cwd=REPOSITORY, env=environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            said = (await asyncio.wait_for(process.communicate(), _BOUND_S))[0].decode(errors="replace")
            took.append(time.perf_counter() - begun)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            await asyncio.shield(stack.stop(settings))
            await run.workspace.remove("mpg-")
        if process.returncode:
            raise RuntimeError(f"make quickstart failed: {' / '.join(said.strip().splitlines()[-3:])}")
    run.add(Row(section=SECTION, name="make quickstart, warm", unit="s", values=tuple(took), targets=at_most(worst=90)))
