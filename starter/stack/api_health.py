"""Whether the API answers, asked as anybody on this host may."""

import ssl
import urllib.request
from pathlib import Path


def ask_api(url: str, ca_file: Path, *, seconds: float) -> None:
    """Return if the API at *url* answers within *seconds*; over TLS it is trusted by *ca_file*. Raises ``OSError``."""
    trusted = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    with urllib.request.urlopen(f"{url}/healthz", timeout=seconds, context=trusted):  # noqa: S310 - our own
        pass
