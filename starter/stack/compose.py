"""What docker-compose.yml runs beside worker and API: `python -m starter.stack.compose STEP`."""

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.service import RPCError

from model.errors import MpgError, StackDown
from model.master_key import load_or_create_master_key
from model.settings import Settings, load_settings
from starter.leave import leave
from starter.prerequisites.node_image import ensure_image
from starter.prerequisites.result import Missing
from starter.stack import temporal_setup
from starter.stack.api_health import ask_api
from starter.stack.state import PRODUCTION_FILE

SECRETS = Path("/run/mpg-secrets")
"""A volume of its own. Beside what made it, only Temporal and its database mount it."""
DATABASE_PASSWORD = "temporal-db"  # noqa: S105 - a file's name
READY_SECONDS = 60
POLLED_WITHIN = timedelta(seconds=90)
"""A worker's question for work is held for a minute at most; then it asks again."""
ANSWER_SECONDS = 5


def prepare(settings: Settings) -> None:
    """Make what the other services need before their first start. What is there stays.

    Raises:
        Missing: the node image is not there and could not be built.
        WrongMasterKey: the master key is lost.
    """
    make_password(SECRETS / DATABASE_PASSWORD)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    load_or_create_master_key(settings.master_key_file)
    (settings.home / PRODUCTION_FILE).touch()
    ensure_image(settings, _say)


def make_password(path: Path) -> None:
    """Write a random password to *path*, unless there is one: readable for the users of the images that mount it."""
    if path.exists():
        return
    draft = path.with_suffix(".new")
    draft.write_text(secrets.token_urlsafe(32))
    draft.chmod(0o444)
    draft.rename(path)


async def setup(settings: Settings) -> None:
    """Make Temporal ready: namespace, search attributes, endpoint. Raises :class:`StackDown`."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            client = await temporal_setup.await_temporal(settings)
            await temporal_setup.prepare(client, settings)
            await temporal_setup.offer_endpoint(client)
    except TimeoutError:
        raise StackDown(f"Temporal was not ready within {READY_SECONDS} s.") from None
    except RPCError as error:
        raise StackDown(f"Temporal refused to be set up: {error.message}.") from error


async def worker_serves(settings: Settings) -> None:
    """Return if a worker of this host has asked for work lately. Raises :class:`StackDown`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            client = await temporal_setup.await_temporal(settings)
            await temporal_setup.await_pollers(client, settings, since=temporal_setup.now() - POLLED_WITHIN)
    except TimeoutError:
        raise StackDown("No worker asks for work.") from None


async def api_serves(settings: Settings) -> None:
    """Return if the API answers. Raises :class:`StackDown`."""
    try:
        await asyncio.to_thread(ask_api, settings.api_url, settings.ca_file, seconds=ANSWER_SECONDS)
    except OSError as error:
        raise StackDown(f"The API does not answer: {error}.") from None


STEPS: dict[str, Callable[[Settings], Coroutine[Any, Any, None]]] = {
    "setup": setup,
    "worker-serves": worker_serves,
    "api-serves": api_serves,
}


def main(step: str) -> int:
    """Do *step*; return the exit code."""
    try:
        settings = load_settings()
        if step == "prepare":
            prepare(settings)
        else:
            asyncio.run(STEPS[step](settings))
    except (MpgError, Missing) as error:
        _say(str(error))
        return 1
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    leave(main(sys.argv[1]))
