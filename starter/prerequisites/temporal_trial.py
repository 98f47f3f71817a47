"""`python -m starter.prerequisites.temporal_trial DIRECTORY`: start a throw-away server with the stack's options.

With ``--program`` of a program that is there; without it of the one that the SDK downloads into the directory, which it
does as part of a start only. A process of its own, since such a download can neither be bounded nor called off: the
SDK's HTTP client waits without end for an answer.
"""

import argparse
import asyncio
import contextlib
import signal
import time
from datetime import timedelta
from pathlib import Path

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from model import search_attributes
from starter.leave import leave
from starter.prerequisites.temporal_binary import VERSION, downloaded
from starter.prerequisites.temporal_flags import always_set

SILENT_SECONDS = 5.0
"""How long a download may bring nothing: before its first byte, and between two."""
DOWNLOAD_SECONDS = 180.0
START_SECONDS = 30.0
"""How long the server may take until it answers."""
_POLL_SECONDS = 0.1
_NAMESPACE = "trial"


class DoesNotServe(Exception):
    """The program was not had, or does not do what the stack needs; the text says what, in one line."""


async def try_out(directory: Path, program: Path | None) -> None:
    """Start and stop a server of *program*, or of the pinned version, downloaded into *directory*.

    Raises:
        DoesNotServe: the server does not take the stack's options or search attributes, or the download failed, took
            longer than :data:`DOWNLOAD_SECONDS`, or brought nothing for :data:`SILENT_SECONDS`.
    """
    serving = asyncio.create_task(_serve(directory, program))
    if program is None:
        await _await_arrival(serving, downloaded(directory))
    await serving


async def _serve(directory: Path, program: Path | None) -> None:
    try:
        server = await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType]
            namespace=_NAMESPACE,
            dev_server_existing_path=str(program) if program else None,
            download_dest_dir=str(directory),
            dev_server_download_version=VERSION,
            dev_server_database_filename=str(directory / "trial.db"),
            dev_server_extra_args=always_set(),
            dev_server_startup_timeout=timedelta(seconds=START_SECONDS),
        )
    except (RuntimeError, OSError) as error:  # the SDK raises a plain RuntimeError for whatever it met
        raise DoesNotServe(" ".join(str(error).split())) from error
    try:
        await _check_search_attributes(server)
    finally:
        await server.shutdown()


async def _check_search_attributes(server: WorkflowEnvironment) -> None:
    asked = ListSearchAttributesRequest(namespace=_NAMESPACE)
    try:
        known = await server.client.operator_service.list_search_attributes(asked)
    except RPCError as error:
        raise DoesNotServe(f"it does not say which search attributes it has: {error.message}") from error
    missing = search_attributes.TYPES.keys() - set(known.custom_attributes)
    if missing:
        raise DoesNotServe(f"it does not take the search attributes {', '.join(sorted(missing))}")


async def _await_arrival(serving: asyncio.Task[None], program: Path) -> None:
    """Return once *program* is there, or *serving* ended without it; say meanwhile how much has come.

    The SDK unpacks what arrives into a file beside *program*: its growth is the only sign of life there is.
    """
    begun = latest = time.monotonic()
    seen = 0
    while not serving.done() and (size := _unpacked(program)) is not None:
        now = time.monotonic()
        if size > seen:
            seen, latest = size, now
            print(f"{size / 1e6:.0f} MB unpacked", flush=True)
        elif now - latest > SILENT_SECONDS:
            raise DoesNotServe(f"nothing came for {SILENT_SECONDS:g} s")
        if now - begun > DOWNLOAD_SECONDS:
            raise DoesNotServe(f"not all had come after {DOWNLOAD_SECONDS:g} s")
        await asyncio.sleep(_POLL_SECONDS)


def _unpacked(program: Path) -> int | None:
    """Return how many bytes of *program* there are, None once it is whole."""
    if program.exists():
        return None
    with contextlib.suppress(FileNotFoundError):
        return program.with_name(f"{program.name}.downloading").stat().st_size
    return 0


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--program", type=Path)
    asked = parser.parse_args()
    code = 0
    try:
        await try_out(asked.directory, asked.program)
    except DoesNotServe as error:
        print(f"error: {error}", flush=True)
        code = 1
    # At once: the loop's own end would wait for a download that was given up.
    leave(code)


if __name__ == "__main__":
    # By Ctrl-C it ends like any program: the interpreter's way out would crash under the SDK's threads.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_main())
