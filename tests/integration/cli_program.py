"""The `mpg` program as tests run it: in an environment, a state directory and ports of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import TEST_LABEL

from tests.free_ports import free_port

PROGRAM = Path(sys.executable).with_name("mpg")


@dataclass
class Ended:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Mpg:
    """The program in an environment of its own."""

    environment: dict[str, str]

    def __call__(self, *arguments: str, timeout: float = 120) -> Ended:
        begun = time.monotonic()
        ended = subprocess.run(
            [PROGRAM, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - begun)

    def done(self, *arguments: str, timeout: float = 120) -> Ended:
        ended = self(*arguments, timeout=timeout)
        assert ended.code == 0, f"{arguments}: {ended.err}"
        return ended

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program so that Ctrl-C reaches it, also where a shell had this process ignore that."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_interrupts,
        )

    def refused(self, *arguments: str, code: int = 1) -> str:
        ended = self(*arguments)
        assert (ended.code, ended.out) == (code, ""), f"{arguments}: {ended.out} {ended.err}"
        return ended.err


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _remove_kept(program: Mpg) -> None:
    """Remove the backups of clusters that tests destroyed: nobody would, once the stack is gone."""
    for cluster in program("list", "--deleted", "--json").json:
        if cluster["restorable_until"]:
            program("backup", "remove-kept", cluster["id"], "--yes")


@contextmanager
def running_stack(*options: str, **settings: str) -> Generator[Mpg]:
    """A stack with *settings*, started with *options*; its clusters are destroyed and it is stopped at the end."""
    home = Path(tempfile.mkdtemp(prefix="mpg"))
    # By process id, so that runs of the tests side by side do not take each other's addresses and ports.
    first = 16000 + os.getpid() % 100 * 40
    program = Mpg(
        os.environ
        | {
            "MPG_HOME": str(home),
            "MPG_TEMPORAL_PORT": str(free_port()),
            "MPG_TEMPORAL_UI_PORT": str(free_port()),
            "MPG_API_PORT": str(free_port()),
            "MPG_PROMETHEUS_PORT": "0",
            "MPG_PORT_RANGE": f"{first}-{first + 39}",
            "MPG_SUBNET_POOL": f"10.218.{os.getpid() % 256}.0/24",
            "MPG_EXTRA_LABELS": json.dumps(TEST_LABEL),
            "MPG_ALLOW_OVERCOMMIT": "true",
            "MPG_ALLOW_STORAGE_OVERCOMMIT": "true",
        }
        | settings
    )
    try:
        program.done("up", "--detach", *options)
        yield program
        for cluster in program("list", "--json").json:
            program("destroy", cluster["id"], "--yes", "--keep-backups", "0")
        _remove_kept(program)
    finally:
        program("down")
        shutil.rmtree(home, ignore_errors=True)
