"""Where the Temporal SDK downloads from, stood in for: by a proxy of ours, which the SDK takes from the environment."""

import datetime
import gzip
import io
import json
import socket
import ssl
import tarfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "temporal.download"


class Manner(Enum):
    """What becomes of a connection."""

    SILENT = auto()
    """It is accepted, and nothing is ever answered."""
    STALLS = auto()
    """The archive begins to come, and stops."""
    SERVES = auto()


class Site:
    """Listens on :attr:`port` until it is closed. ``asked`` has each request's first line."""

    def __init__(self, directory: Path, program: bytes, manner: Manner) -> None:
        self.asked: list[str] = []
        self._archive = _archive(program)
        self._manner = manner
        self.certificate = directory / "site.pem"
        _certify(self.certificate)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "SSL_CERT_FILE": str(self.certificate)}

    def close(self) -> None:
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._request(connection)
            if self._manner is Manner.SILENT:
                return
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._tls.wrap_socket(connection, server_side=True) as inside:
                self._open.append(inside)
                while line := self._request(inside):
                    self._serve(inside, line)

    def _request(self, connection: socket.socket) -> str:
        text = b""
        while b"\r\n\r\n" not in text:
            if not (more := connection.recv(4096)):
                return ""
            text += more
        line = text.decode().splitlines()[0]
        self.asked.append(line)
        return line

    def _serve(self, connection: socket.socket, line: str) -> None:
        if "/archive.tar.gz" in line:
            body, kind = self._archive, "application/gzip"
        else:
            info = {"archiveUrl": f"https://{HOST}/archive.tar.gz", "fileToExtract": "temporal"}
            body, kind = json.dumps(info).encode(), "application/json"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if self._manner is Manner.STALLS and body is self._archive:
            connection.sendall(head + body[: len(body) // 2])
            connection.recv(1)  # until the other side has had enough
        else:
            connection.sendall(head + body)


@contextmanager
def download_site(directory: Path, program: bytes, manner: Manner) -> Generator[Site]:
    """Stand in for where the SDK downloads from, with *program* to be had there."""
    site = Site(directory, program, manner)
    try:
        yield site
    finally:
        site.close()


def _archive(program: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("temporal")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return gzip.compress(packed.getvalue(), 0)


def _certify(file: Path) -> None:
    """Write a key and a certificate for the site that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
