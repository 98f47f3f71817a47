"""The API over TLS, of a stack that was started with ``--tls``, whose certificates last seconds."""

import ssl
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from api_service import eventually, shell_environment
from cli_program import Mpg, running_stack
from cryptography import x509

from model.errors import Refused
from starter.client import MpgClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

LIFETIME_S = 30
"""Of a certificate: another one is issued after two thirds of it."""


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack("--tls", MPG_TLS_CERTIFICATE_DAYS=f"{LIFETIME_S / 86400:.8f}") as made:
        yield made


@pytest.fixture(scope="module")
def environment(program: Mpg) -> dict[str, str]:
    return program.done("auth", "env", "--json").json


@pytest.fixture(scope="module")
def trusting(environment: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])


@pytest.fixture(scope="module")
def client(environment: dict[str, str], trusting: ssl.SSLContext) -> Generator[httpx.Client]:
    headers = {"Authorization": f"Bearer {environment['FLY_ACCESS_TOKEN']}"}
    with httpx.Client(base_url=environment["FLY_FLAPS_BASE_URL"], headers=headers, verify=trusting) as made:
        yield made


def test_the_environment_names_the_address_and_whom_to_trust(program: Mpg, environment: dict[str, str]) -> None:
    address = f"https://127.0.0.1:{program.environment['MPG_API_PORT']}"
    for name in ("FLY_UIEX_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_API_BASE_URL"):
        assert environment[name] == address
    assert program.done("doctor", "--json").json["stack"]["api_url"] == address
    shell = shell_environment(program.done("auth", "env").out)
    assert shell == {name: value for name, value in environment.items() if name.startswith("FLY_")}


def test_only_who_trusts_the_authority_is_served(environment: dict[str, str], client: httpx.Client) -> None:
    assert client.get("/api/v1/organizations").status_code == 200
    address = environment["FLY_FLAPS_BASE_URL"]
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"{address}/healthz", trust_env=False)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address.replace('https', 'http')}/healthz")


async def test_client_that_does_not_trust_the_authority_is_told_that_and_not_to_wait(
    environment: dict[str, str],
) -> None:
    async with MpgClient.connect_http(environment["FLY_FLAPS_BASE_URL"], environment["FLY_ACCESS_TOKEN"]) as mpg:
        with pytest.raises(Refused, match="not one that is trusted"):
            await mpg.list_clusters()


def test_the_dashboard_keeps_its_cookie_to_tls(program: Mpg, client: httpx.Client) -> None:
    opened = program.done("dashboard", "--no-browser", "--json").json["url"]
    assert opened.startswith(str(client.base_url).rstrip("/"))
    answer = client.get(opened)
    said = [answer.headers.get("set-cookie", ""), *(each.headers.get("set-cookie", "") for each in answer.history)]
    cookie = next(each for each in said if each)
    assert "; Secure" in cookie
    assert "; HttpOnly" in cookie


def test_a_certificate_is_renewed_and_no_stream_notices(program: Mpg, client: httpx.Client) -> None:
    home, port = Path(program.environment["MPG_HOME"]), int(program.environment["MPG_API_PORT"])
    lines, ended = list[str](), threading.Event()

    def serial() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(home / "ca.crt"))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def listen() -> None:
        path = "/api/v1/organizations/personal/events"
        with suppress(httpx.TransportError), client.stream("GET", path, timeout=30) as answer:
            for line in answer.iter_lines():
                lines.append(line)
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    eventually(lambda: lines)
    first = serial()
    eventually(lambda: serial() != first, seconds=2 * LIFETIME_S)
    heard = len(lines)
    eventually(lambda: len(lines) > heard, seconds=30)  # a heartbeat at least
    assert not ended.is_set()
    assert (home / "api" / "server.pem").stat().st_mode & 0o777 == 0o600
