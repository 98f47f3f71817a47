"""A real S3-compatible server for tests, Versity's gateway on a directory, over TLS with an authority of its own."""

import datetime
import ipaddress
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activities.engine.docker_engine import DockerEngine
from starter.prerequisites.go_programs import find_go
from starter.prerequisites.lock import file_lock
from starter.prerequisites.paths import cache_dir

PACKAGE = "github.com/versity/versitygw/cmd/versitygw@latest"
BUILD_S = 900
BUCKET = "backups"


@dataclass(frozen=True)
class S3Server:
    """Where it is, as containers reach it, and what lets one in."""

    address: str
    port: int
    key: str
    secret: str
    ca_file: Path
    directory: Path
    command: tuple[str, ...]
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        """Begin to answer."""
        environment = os.environ | {"ROOT_ACCESS_KEY": self.key, "ROOT_SECRET_KEY": self.secret}
        with (self.directory.parent / "server.log").open("a") as log:
            self.processes.append(subprocess.Popen(self.command, env=environment, stdout=log, stderr=log))
        _await_listening(self, self.processes[-1])

    def stop(self) -> None:
        """Answer no more: who connects is refused."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Be stopped for as long as the context lasts."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def settings(self) -> dict[str, object]:
        """What a worker is told of it."""
        return {
            "backup_s3_bucket": BUCKET,
            "backup_s3_endpoint": f"{self.address}:{self.port}",
            "backup_s3_path_style": True,
            "backup_s3_prefix": "mpg",
            "backup_s3_ca_file": self.ca_file,
            "backup_s3_key": self.key,
            "backup_s3_key_secret": self.secret,
        }

    def files(self) -> list[str]:
        """The objects in the bucket."""
        bucket = self.directory / BUCKET
        return sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())


async def address_for_containers(docker: DockerEngine) -> str:
    """Return the address of this machine that every container reaches.

    An engine that made its default network itself, at its first start, does not name its gateway: the first address.
    """
    found = await docker.inspect_network("bridge")
    assert found is not None
    return found.gateway or str(next(ipaddress.ip_network(found.subnets[0]).hosts()))


@contextmanager
def s3_server(directory: Path, address: str) -> Generator[S3Server]:
    """Serve *directory* at *address* of this machine."""
    program = _program()
    data = directory / "data"
    (data / BUCKET).mkdir(parents=True)
    ca_file, certificate, private_key = _certificates(directory, address)
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    command = [program, "--port", f"{address}:{port}", "--cert", certificate, "--key", private_key, "posix", data]
    server = S3Server(address, port, "tests", secrets.token_hex(16), ca_file, data, tuple(map(str, command)))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _program() -> Path:
    """Return the gateway, built once and kept beside Temporal's program."""
    directory = cache_dir() / "bin"
    built = directory / "versitygw"
    go = find_go()
    with file_lock(cache_dir() / "versitygw.lock", on_wait=lambda: None):
        if not built.exists() and go is None:
            pytest.skip("an S3 server is built with Go, which is not installed")
        if not built.exists():
            subprocess.run(
                [str(go), "install", PACKAGE], env=os.environ | {"GOBIN": str(directory)}, check=True, timeout=BUILD_S
            )
    return built


def _certificates(directory: Path, address: str) -> tuple[Path, Path, Path]:
    """Make an authority and a server's certificate; return the files of the first, and of the second with its key."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests of backups")])
    now = datetime.datetime.now(datetime.UTC)

    def builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    root = (
        builder(authority, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    names = x509.SubjectAlternativeName([x509.DNSName(address), x509.IPAddress(ipaddress.ip_address(address))])
    leaf = builder(subject, server_key).add_extension(names, critical=False).sign(authority_key, hashes.SHA256())
    files = directory / "ca.pem", directory / "server.pem", directory / "server.key"
    files[0].write_bytes(root.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def _await_listening(server: S3Server, process: "subprocess.Popen[bytes]") -> None:
    bound = time.monotonic() + 20
    while True:
        assert process.poll() is None, "the S3 server ended"
        try:
            socket.create_connection((server.address, server.port), timeout=1).close()
        except OSError:
            assert time.monotonic() < bound, "the S3 server does not listen"
            time.sleep(0.05)
        else:
            return
