"""The image of Patroni's containers: the node image, and what Patroni needs besides."""

import asyncio
import io
import sys
import tempfile
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from activities.engine.docker_types import File
from bench.containers import tar_of
from bench.workspace import Workspace, in_thread, say

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"
_DOWNLOAD_S = 120


@asynccontextmanager
async def peers_image(workspace: Workspace) -> AsyncGenerator[str]:
    """Lend the image's name. It is built for this run and removed afterwards.

    Raises:
        RuntimeError: pip's or Debian's packages could not be had; one sentence.
    """
    tag = f"mpg-bench-peers:{workspace.home.name}"
    try:
        with tempfile.TemporaryDirectory(dir=workspace.home) as directory:
            say("peers: fetch Patroni with pip")
            await _download(Path(directory))
            say("peers: build an image with etcd, HAProxy and Patroni from Debian's packages, half a minute")
            await _to_its_end(in_thread(_build, workspace, tag, Path(directory)))
        yield tag
    finally:
        await in_thread(_remove, workspace.docker, tag)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await *work*, also when this is cancelled: a build that went on would leave its image behind."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _download(directory: Path) -> None:
    pip = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes",
        "--no-deps", "--only-binary=:all:", "--dest", str(directory), "-r", str(_REQUIREMENTS),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = (await asyncio.wait_for(pip.communicate(), _DOWNLOAD_S))[0].decode(errors="replace")
    except TimeoutError:
        raise RuntimeError(f"Patroni is needed, and pip did not fetch it in {_DOWNLOAD_S} s.") from None
    finally:
        if pip.returncode is None:
            pip.kill()
            await pip.wait()
    if pip.returncode:
        raise RuntimeError(f"Patroni is needed, and pip could not fetch it: {_last_line(said)}")


def _build(workspace: Workspace, tag: str, wheels: Path) -> None:
    paths = (_HERE / "Dockerfile", _REQUIREMENTS, *wheels.glob("*.whl"))
    context = tar_of({path.name: File(content=path.read_bytes()) for path in paths})
    try:
        for event in _events(workspace, tag, context):
            if "error" in event:
                raise RuntimeError(_needs_packages(event["error"]))
    except (DockerException, RequestException) as error:
        raise RuntimeError(_needs_packages(str(error))) from error


def _events(workspace: Workspace, tag: str, context: bytes) -> Any:
    return workspace.docker.build(
        fileobj=io.BytesIO(context),
        custom_context=True,
        tag=tag,
        buildargs={"BASE": workspace.image},
        labels=workspace.labels,
        rm=True,
        forcerm=True,
        decode=True,
    )


def _needs_packages(why: str) -> str:
    return f"Debian packages are needed in a container, and could not be installed there: {_last_line(why)}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word why"])[-1]


def _remove(docker: Any, tag: str) -> None:
    try:
        docker.remove_image(tag, force=True)
    except ImageNotFound:
        return
