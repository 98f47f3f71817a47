"""One request of a webhook, to a receiver that listens on this machine."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activities.webhooks import sending
from activities.webhooks.sending import Unsent
from model.errors import TooOften
from model.name_lookups import NameLookups
from model.settings import Settings, load_settings
from model.webhooks import Address

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
_HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
_LONG_HINT = b"HTTP/1.1 103 Early Hints\r\nx: " + b"y" * (sending.MOST_HEAD // sending.MOST_INFORMATIONAL) + b"\r\n\r\n"


async def send(url: str, headers: Mapping[str, str], body: bytes, settings: Settings) -> int:
    return await sending.send(url, headers, body, settings, partial(NameLookups().addresses, "org"))


async def no_such_name(host: str) -> list[Address]:
    raise OSError("There is no such name.")


class Receiver:
    """Takes one request a connection and answers what the test says."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.port = 0
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.requests.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        await writer.drain()
        if self.answer:
            writer.close()


@asynccontextmanager
async def receiving(answer: bytes = OK, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.fixture
def loopback(tmp_path: Path) -> Settings:
    """Settings that let webhooks go to this machine, without TLS."""
    return load_settings(home=tmp_path, webhook_private_networks="127.0.0.0/8", webhook_plain_http=True)


async def test_request_has_its_body_headers_and_path(loopback: Settings) -> None:
    async with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hooks?team=a"
        assert await send(url, {"webhook-id": "evt_1"}, b'{"a": 1}', loopback) == 204
    (request,) = receiver.requests
    assert request.startswith(b"POST /hooks?team=a HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{receiver.port}".encode() in request.lower()
    assert b"webhook-id: evt_1\r\n" in request.lower()
    assert request.endswith(b'\r\n\r\n{"a": 1}')


async def test_redirect_is_an_answer_and_is_not_followed(loopback: Settings) -> None:
    async with receiving() as other:
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{other.port}/\r\n\r\n"
        async with receiving(moved.encode()) as receiver:
            assert await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", loopback) == 307
        assert other.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
async def test_private_address_is_not_connected_to_unless_configured(tmp_path: Path, host: str) -> None:
    settings = load_settings(home=tmp_path, webhook_plain_http=True)
    async with receiving() as receiver:
        with pytest.raises(Unsent, match="no address") as refused:
            await send(f"http://{host}:{receiver.port}/", {}, b"{}", settings)
        assert receiver.connections == 0
    name = host.strip("[]")
    assert str(refused.value) == f"{name} has no address that webhooks may go to."
    with pytest.raises(Unsent) as unknown:
        await sending.send(f"http://{host}:1/", {}, b"{}", settings, no_such_name)
    assert str(unknown.value) == str(refused.value), "it tells nobody which names there are"


async def test_plain_http_is_not_sent_unless_configured(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, webhook_private_networks="127.0.0.0/8")
    async with receiving() as receiver:
        with pytest.raises(Unsent, match="https"):
            await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", settings)
        assert receiver.connections == 0


async def test_connection_goes_to_the_address_that_was_looked_at(loopback: Settings) -> None:
    """A name that has another address at the second look is looked up once only."""
    looked_up: list[str] = []

    async def rebinding(host: str) -> list[Address]:
        looked_up.append(host)
        return [ip_address("127.0.0.1" if len(looked_up) == 1 else "127.0.0.2")]

    async with receiving() as receiver:
        url = f"http://rebound.example:{receiver.port}/"
        assert await sending.send(url, {}, b"{}", loopback, rebinding) == 204
    assert looked_up == ["rebound.example"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2 * sending.MOST_HEAD, "too long"),
        (_HINT * (sending.MOST_INFORMATIONAL + 1) + OK, "informational"),
        (_LONG_HINT * sending.MOST_INFORMATIONAL + OK, "too long"),
    ],
    ids=["no-http", "long-head", "many-informational", "long-informational"],
)
async def test_answer_that_is_none_is_said_so(loopback: Settings, answer: bytes, why: str) -> None:
    async with receiving(answer) as receiver:
        with pytest.raises(Unsent, match=why):
            await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", loopback)


async def test_a_few_informational_answers_may_come_first(loopback: Settings) -> None:
    async with receiving(_HINT * sending.MOST_INFORMATIONAL + OK) as receiver:
        assert await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", loopback) == 204


async def test_body_of_an_answer_is_not_waited_for(loopback: Settings) -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx"
    async with receiving(endless) as receiver:
        assert await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", loopback) == 200


async def test_receiver_that_says_nothing_is_waited_for_a_bounded_time(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    async with receiving(b"") as receiver:
        with pytest.raises(Unsent, match=r"within 0\.2 s"):
            await send(f"http://127.0.0.1:{receiver.port}/", {}, b"{}", loopback)


async def test_name_that_nobody_is_free_to_look_up_is_nothing_that_the_receiver_did(loopback: Settings) -> None:
    busy = NameLookups(most=0)
    with pytest.raises(TooOften):
        await sending.send("http://localhost/", {}, b"{}", loopback, partial(busy.addresses, "org"))


async def test_receiver_that_is_down_is_said_so(loopback: Settings) -> None:
    async with receiving() as receiver:
        port = receiver.port
    with pytest.raises(Unsent, match=r"^The receiver cannot be reached: Connection refused\.$"):
        await send(f"http://127.0.0.1:{port}/", {}, b"{}", loopback)


async def test_certificate_has_to_be_the_receivers(
    loopback: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = ssl.create_default_context(cafile=_certificate(tmp_path, "127.0.0.1"))
    async with receiving(tls=_serving(tmp_path)) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/"
        with pytest.raises(Unsent, match="TLS failed"):
            await send(url, {}, b"{}", loopback)
        monkeypatch.setattr(sending, "_tls", lambda: trusted)
        assert await send(url, {}, b"{}", loopback) == 204
        with pytest.raises(Unsent, match="TLS failed"):
            await send(f"https://localhost:{receiver.port}/", {}, b"{}", loopback)


def _certificate(directory: Path, address: str) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def _serving(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "receiver.pem")
    return context
