"""Temporal behind TLS that asks for a certificate: a real server, and in front of it what ends the encryption."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from temporalio.client import Client

from model.errors import InvalidInput, StackDown
from model.settings import Settings, load_settings
from model.temporal_tls import temporal_tls
from starter.client.temporal import connect


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that is its own authority, for both sides, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "temporal")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return files


@asynccontextmanager
async def _in_front_of(target: str, pair: tuple[Path, Path]) -> AsyncIterator[str]:
    """Forward to *target* what comes with a certificate of *pair*; lend the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(pair[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    host, _, port = target.partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def _settings(home: Path, address: str, **more: object) -> Settings:
    return load_settings(home=home, temporal_address=address, temporal_namespace="default", temporal_tls=True, **more)


async def test_stack_shows_its_certificate_and_is_refused_without(
    temporal: Client, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    async with _in_front_of(temporal.service_client.config.target_host, pair) as address:
        shown = {"temporal_tls_cert_file": pair[0], "temporal_tls_key_file": pair[1]}
        found = await connect(_settings(tmp_path, address, temporal_tls_ca_file=pair[0], **shown))
        assert await found.service_client.check_health()
        for lacking in ({"temporal_tls_ca_file": pair[0]}, shown):
            with pytest.raises(StackDown):
                await connect(_settings(tmp_path, address, **lacking))


def test_files_are_named_together_and_have_to_be_there(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(InvalidInput, match="set together"):
        _settings(tmp_path, "127.0.0.1:1", temporal_tls_cert_file=pair[0])
    with pytest.raises(InvalidInput, match="temporal_tls is not set"):
        load_settings(home=tmp_path, temporal_tls_ca_file=pair[0])
    assert temporal_tls(load_settings(home=tmp_path)) is False
    with pytest.raises(InvalidInput, match="MPG_TEMPORAL_TLS_CA_FILE cannot be read"):
        temporal_tls(_settings(tmp_path, "127.0.0.1:1", temporal_tls_ca_file=tmp_path / "none"))
