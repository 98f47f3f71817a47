"""A backup that is read from the replica: how pgBackRest reaches the primary, which begins and ends it.

pgBackRest wants each node's files where that node has them, so one container cannot have both. The primary's are in a
second one, which shares the network of the first: they speak over a loopback that nobody else is on, with TLS and a
certificate that is made for this backup.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activities.backups.pgbackrest import DIRECTORY
from activities.engine.docker_types import File
from activities.nodes.repository_conf import CONF_FILE, PG_HERE

HOST = "localhost"
PORT = 8432
CERTIFICATE = f"{DIRECTORY}/backup.pem"
KEY = f"{DIRECTORY}/backup.key"
VALID_FOR = timedelta(days=30)
"""Longer than any backup: it is looked at whenever a connection is made."""
BEFORE = timedelta(hours=1)

PG_BOTH = {
    **PG_HERE,
    **{name.replace("pg1-", "pg2-"): value for name, value in PG_HERE.items()},
    "pg2-host": HOST,
    "pg2-host-type": "tls",
    "pg2-host-port": str(PORT),
    "pg2-host-cert-file": CERTIFICATE,
    "pg2-host-key-file": KEY,
    "pg2-host-ca-file": CERTIFICATE,
}
"""The nodes as the backup's own container sees them: the replica here, the primary through the server."""


def backup_files(certificate: File, key: File) -> dict[str, File]:
    """Return what lets the backup's container in."""
    return {CERTIFICATE: certificate, KEY: key}


def server_files(certificate: File, key: File, cluster_id: str) -> dict[str, File]:
    """Return the files of the server, which lets in who has the same certificate, for this cluster's stanza only.

    The backup tells it the rest, so no secret of the repository is there.
    """
    options = {
        "tls-server-address": "127.0.0.1",
        "tls-server-port": str(PORT),
        "tls-server-cert-file": CERTIFICATE,
        "tls-server-key-file": KEY,
        "tls-server-ca-file": CERTIFICATE,
        "tls-server-auth": f"{HOST}={cluster_id}",
        "log-level-file": "off",
        "log-level-console": "off",
        "log-level-stderr": "warn",
    }
    lines = ["[global]", *(f"{name}={value}" for name, value in options.items())]
    lines += [f"[{cluster_id}]", *(f"{name}={value}" for name, value in PG_HERE.items()), ""]
    conf = File.private("\n".join(lines))
    return {CERTIFICATE: certificate, KEY: key, f"{DIRECTORY}/{CONF_FILE}": conf}


def make_certificate(now: datetime | None = None) -> tuple[File, File]:
    """Return a certificate and its key, in PEM. It signs itself: both ends trust this one and no other."""
    moment = now or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BEFORE)
        .not_valid_after(moment + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return File.private(certificate.public_bytes(pem)), File.private(private)
