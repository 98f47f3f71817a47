"""``python -m tests.faults.engine COMMAND …``: run a command beside a Docker engine of its own, which may be killed.

The engine and the command are in a network namespace made for them: addresses, published ports and firewall rules are
theirs alone, and so is every container that dies with the engine. Whenever the engine ends it is started again, as an
init system would. Needs root, dockerd and ip (Debian: docker.io, iproute2). Nothing is left afterwards.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from model.settings import load_settings
from tests.faults.worker import ENGINE_PID

START_S, STOP_S = 60.0, 120.0
RESTART_PAUSE_S = 0.5


class OwnEngine:
    """A Docker engine in a network namespace of its own, with its files below *home*."""

    def __init__(self, home: Path) -> None:
        """Nothing is started yet."""
        self._home = home
        self._namespace = home.name
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="engine", daemon=True)
        self.address = f"unix://{home}/docker.sock"
        self.pid_file = home / "engine.pid"

    def start(self) -> None:
        """Return when the engine answers and has the node image."""
        run("ip", "netns", "add", self._namespace)
        run(*self.inside("ip", "link", "set", "lo", "up"))
        self._keeper.start()
        self._await_answer()
        image = load_settings().node_image_for(17)
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            loading = ["docker", "--host", self.address, "load", "--quiet"]
            subprocess.run(loading, stdin=saving.stdout, stdout=subprocess.DEVNULL, check=True)

    def stop(self) -> None:
        """End the engine with its containers, and remove its files and its namespace."""
        self._stopping.set()
        with contextlib.suppress(subprocess.CalledProcessError):
            ids = output("docker", "--host", self.address, "ps", "--all", "--quiet").split()
            if ids:
                output("docker", "--host", self.address, "rm", "--force", "--volumes", *ids)
        if self._process is not None:
            self._process.terminate()
        self._keeper.join(START_S)
        run("ip", "netns", "delete", self._namespace)
        for mounted in sorted(_mounts_below(self._home), reverse=True):
            subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(self._home, ignore_errors=True)

    def inside(self, *command: str) -> tuple[str, ...]:
        """Return *command* as it is run in the namespace."""
        return ("nsenter", f"--net=/run/netns/{self._namespace}", *command)

    def environment(self) -> dict[str, str]:
        """Return what a command needs to find the engine, and the file with its process id."""
        return os.environ | {"DOCKER_HOST": self.address, ENGINE_PID: str(self.pid_file)}

    def _keep(self) -> None:
        command = self.inside(
            "dockerd",
            f"--host={self.address}",
            f"--data-root={self._home}/data",
            f"--exec-root={self._home}/exec",
            f"--pidfile={self._home}/dockerd.pid",
            "--storage-driver=overlay2",
        )
        with (self._home / "dockerd.log").open("ab") as log:
            while not self._stopping.is_set():
                # nsenter replaces itself: the process is dockerd's.
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                self.pid_file.write_text(str(self._process.pid))
                self._process.wait()
                self._stopping.wait(RESTART_PAUSE_S)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                output("docker", "--host", self.address, "version")
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    said = (self._home / "dockerd.log").read_text().splitlines()[-5:]
                    raise RuntimeError("The engine does not answer: " + " / ".join(said)) from error
                time.sleep(0.1)
            else:
                return


@contextmanager
def own_engine() -> Generator[OwnEngine]:
    """Lend an engine."""
    engine = OwnEngine(Path(tempfile.mkdtemp(prefix="mpge", dir="/var/tmp")))
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


def run(*command: str) -> None:
    """Run *command*. Raises ``CalledProcessError``."""
    subprocess.run(command, check=True)


def output(*command: str) -> str:
    """Run *command* and return what it printed. Raises ``CalledProcessError``."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _mounts_below(home: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [point for line in lines if (point := line.split()[1]).startswith(f"{home}/")]


def main() -> int:
    """Return the command's exit code."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    # SIGTERM ends it as Ctrl-C does: by way of the cleanup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with own_engine() as engine:
        command = subprocess.Popen(engine.inside(*sys.argv[1:]), env=engine.environment())
        try:
            return command.wait()
        finally:
            # It has stacks of its own to stop.
            command.terminate()
            command.wait(STOP_S)


if __name__ == "__main__":
    sys.exit(main())
