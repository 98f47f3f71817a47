"""The certificate authority of this installation: made once, kept beside the master key, and what it issues.

Its private key and its certificate are one file, so that neither is ever there without the other. Servers' keys are
made where a container is made, and are in that container only. Form: X.509 (RFC 5280), ECDSA over P-256.
"""

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from model.base import Record
from model.errors import Refused
from model.private_files import put, put_if_absent
from model.settings import LOOPBACK, Settings

log = structlog.get_logger()

AUTHORITY_YEARS = 10
CLOCKS_DIFFER = timedelta(hours=1)
"""By how much a client's clock may be behind ours: certificates are valid from so long ago."""
_SHARE_LEFT = 3
"""One is renewed when a third of its time is left."""


class Issued(Record):
    """A server's private key and certificate, both PEM."""

    key: str
    certificate: str


class Authority:
    """Issues the certificates of this installation's servers."""

    def __init__(self, settings: Settings) -> None:
        """Load the authority from the state directory, or make it.

        Where one served and is lost there is a new one, which is said: containers get certificates of it within the
        hour. Raises :class:`Refused` for a file that is no authority.
        """
        path = settings.ca_key_file
        if not path.exists():
            if settings.ca_file.exists():
                log.warning(
                    "the certificate authority is lost and there is a new one: give clients that verify the new file",
                    lost=str(path),
                    file=str(settings.ca_file),
                )
            put_if_absent(path, _new_authority())
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            raise Refused(f"{path} can be read by others.", remedy=f"Run: chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(content, None)
            self._certificate = x509.load_pem_x509_certificate(content[content.index(b"-----BEGIN CERTIFICATE") :])
        except ValueError:
            raise Refused(
                f"{path} does not hold a certificate authority.",
                remedy="Restore it from your backup, or remove it: then a new one is made, whose file clients need.",
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise Refused(f"{path} does not hold a certificate authority.", remedy="Restore it from your backup.")
        self._key = key
        self._names = server_names(settings)
        self.check_every_s = check_every_s(settings)
        """Seconds after which certificates are looked at again."""
        self._lifetime = timedelta(days=settings.tls_certificate_days)
        public = self._certificate.public_bytes(serialization.Encoding.PEM)
        if not settings.ca_file.exists() or settings.ca_file.read_bytes() != public:
            put(settings.ca_file, public)
            settings.ca_file.chmod(0o644)

    def issue(self, name: str) -> Issued:
        """Return a key and a certificate for a server of cluster *name*, under the names that clients connect to."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            _certificate(name, key.public_key(), self._certificate.subject)
            .not_valid_before(now - CLOCKS_DIFFER)
            .not_valid_after(min(now + self._lifetime, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(self._alternatives()), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(
            key=_private_pem(key).decode(), certificate=certificate.public_bytes(serialization.Encoding.PEM).decode()
        )

    def is_due(self, certificate: bytes | None) -> bool:
        """Tell whether a server needs another one than *certificate* (PEM; None: it has none).

        Because little of its time is left, it is of another authority, or clients connect to other names.
        """
        try:
            found = x509.load_pem_x509_certificate(certificate or b"")
            found.verify_directly_issued_by(self._certificate)
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except Exception:
            return True
        # From when it was issued: it is valid for an hour before that.
        whole = found.not_valid_after_utc - found.not_valid_before_utc - CLOCKS_DIFFER
        left = found.not_valid_after_utc - datetime.now(UTC)
        return left < whole / _SHARE_LEFT or set(names) != set(self._alternatives())

    def _alternatives(self) -> list[x509.GeneralName]:
        return [_alternative(name) for name in self._names]


def check_every_s(settings: Settings) -> float:
    """Return the seconds after which certificates are looked at again: some look always comes well before the end."""
    return min(3600.0, timedelta(days=settings.tls_certificate_days).total_seconds() / 10)


def server_names(settings: Settings) -> tuple[str, ...]:
    """Return the names and addresses that clients connect to, each once."""
    bound = ipaddress.ip_address(settings.bind_address)
    own = () if bound.is_unspecified else (str(bound),)
    return tuple(dict.fromkeys(("localhost", LOOPBACK, *own, *settings.tls_names)))


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _new_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"Managed Postgres {secrets.token_hex(4)}"
    now = datetime.now(UTC)
    certificate = (
        _certificate(name, key.public_key(), _common_name(name))
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=365 * AUTHORITY_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_MAY_SIGN, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(_common_name(name)).issuer_name(issuer)
    return builder.public_key(key).serial_number(x509.random_serial_number())


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


_MAY_SIGN = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
