"""The process: ``python -m starter.api``, a part of the stack."""

import asyncio
import sys

import uvicorn

from model.errors import MpgError
from model.settings import LOOPBACK, Settings, load_settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.leave import leave
from starter.logs import configure_logging
from starter.tokens.keyring import Keyring

GRACE_SECONDS = 4
"""How long answers that are under way may take once the process is told to end."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StackDown where Temporal does not answer at the start."""
    keyring = Keyring(settings.api_dir)
    keyring.prepare()
    async with MpgClient.connect(settings) as mpg:
        config = uvicorn.Config(
            make_app(mpg, keyring),
            host=LOOPBACK,
            port=settings.api_port,
            log_config=None,  # its loggers end in ours
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        await uvicorn.Server(config).serve()


def main() -> None:
    """Run the API of this environment's settings."""
    try:
        settings = load_settings()
        configure_logging(settings)
        asyncio.run(serve(settings))
    except MpgError as error:
        print(error, file=sys.stderr)
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
