"""The certificate that this process serves with: of the installation's authority, and renewed while it serves."""

import asyncio
import ssl

import structlog

from model.authority import Authority, check_every_s
from model.errors import MpgError
from model.private_files import put
from model.settings import Settings

NAME = "mpg API"
"""Whose it says that it is; clients look at the addresses in it."""

AGAIN_S = 60.0
"""How soon is looked again at most after a look that failed, and for the first time."""

log = structlog.get_logger()


class ServedCertificate:
    """A private key and a certificate in one file, mode 0600, as :mod:`ssl` reads them."""

    def __init__(self, settings: Settings) -> None:
        """Have one that is good to serve with. Raises :class:`~model.errors.Refused` where there is no authority."""
        self._settings = settings
        self.file = settings.api_dir / "server.pem"
        self.renew_if_due()

    def renew_if_due(self) -> bool:
        """Replace it where little of its time is left, or names or authority are others; tell whether it was."""
        authority = Authority(self._settings)  # anew each time: a lost one is made anew by the worker
        if not authority.is_due(self.file.read_bytes() if self.file.exists() else None):
            return False
        issued = authority.issue(NAME)
        put(self.file, (issued.certificate + issued.key).encode())
        return True

    async def keep_renewed(self, serving: ssl.SSLContext, every_s: float | None = None) -> None:
        """Look again and again, by default as often as clusters do, and have *serving* show the new one.

        Connections that are open go on with what they have: no stream notices.
        """
        looks_every_s = every_s or check_every_s(self._settings)
        pause_s = min(looks_every_s, AGAIN_S)
        while True:
            await asyncio.sleep(pause_s)
            try:
                if await asyncio.to_thread(self.renew_if_due):
                    serving.load_cert_chain(self.file)
                    log.info("the API's certificate was renewed")
                pause_s = looks_every_s
            except (MpgError, OSError, ssl.SSLError) as error:
                log.error("the API's certificate cannot be renewed", error=str(error))
                pause_s = min(looks_every_s, AGAIN_S)
