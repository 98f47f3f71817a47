"""The API's certificate: issued once, renewed when due, and shown to those who connect from then on."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from model.settings import Settings, load_settings
from starter.api.certificate import ServedCertificate


def settings(home: Path, **more: object) -> Settings:
    return load_settings(home=home, **more)


def test_it_is_of_the_installations_authority_and_private(tmp_path: Path) -> None:
    served = ServedCertificate(settings(tmp_path))
    found = x509.load_pem_x509_certificate(served.file.read_bytes())
    found.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert served.file.stat().st_mode & 0o777 == 0o600
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(served.file)


def test_one_that_is_good_stays_and_one_for_other_names_is_replaced(tmp_path: Path) -> None:
    served = ServedCertificate(settings(tmp_path))
    first = served.file.read_bytes()
    assert not served.renew_if_due()
    assert ServedCertificate(settings(tmp_path)).file.read_bytes() == first
    assert ServedCertificate(settings(tmp_path, tls_names="db.example.org")).file.read_bytes() != first


async def test_a_renewed_one_is_shown_from_then_on_and_a_damaged_authority_ends_nothing(tmp_path: Path) -> None:
    served = ServedCertificate(settings(tmp_path))
    loaded = asyncio.Event()

    class Serving(ssl.SSLContext):
        def load_cert_chain(self, *given: object, **named: object) -> None:
            loaded.set()

    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.key").write_bytes(b"damaged")
    with capture_logs() as said:
        keeping = asyncio.create_task(served.keep_renewed(Serving(ssl.PROTOCOL_TLS_SERVER), every_s=0.01))
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.01)
    assert "cannot be renewed" in said[0]["event"]
    (tmp_path / "ca.key").write_bytes(key)
    served.file.unlink()
    await asyncio.wait_for(loaded.wait(), 10)
    assert not keeping.done()
    keeping.cancel()


async def test_an_authority_that_is_refused_for_a_moment_does_not_end_the_renewal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.api.certificate.AGAIN_S", 0.01)
    served = ServedCertificate(settings(tmp_path))
    (tmp_path / "ca.key").chmod(0o644)
    with capture_logs() as said:
        keeping = asyncio.create_task(served.keep_renewed(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)))
        async with asyncio.timeout(10):
            while len(said) < 3:
                await asyncio.sleep(0.01)
    assert not keeping.done()
    keeping.cancel()
