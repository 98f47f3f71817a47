"""How connections to a Temporal service of one's own are encrypted, and by what each side proves who it is."""

from pathlib import Path

from temporalio.service import TLSConfig

from model.errors import InvalidInput
from model.settings import Settings


def temporal_tls(settings: Settings) -> TLSConfig | bool:
    """Return what the SDK takes as ``tls``: whether it is spoken at all, or the certificates to speak it with.

    Raises :class:`InvalidInput` when a file cannot be read.
    """
    if not settings.temporal_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_read("MPG_TEMPORAL_TLS_CA_FILE", settings.temporal_tls_ca_file),
        domain=settings.temporal_tls_server_name,
        client_cert=_read("MPG_TEMPORAL_TLS_CERT_FILE", settings.temporal_tls_cert_file),
        client_private_key=_read("MPG_TEMPORAL_TLS_KEY_FILE", settings.temporal_tls_key_file),
    )


def _read(variable: str, path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise InvalidInput(f"{variable} cannot be read: {error}.", remedy="Correct it.") from error
