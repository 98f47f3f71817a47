"""The certificate authority: made once, what it issues, when that is due, and what becomes of it when it is lost."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from model.authority import Authority, server_names
from model.errors import Refused
from model.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


def _issued(authority: Authority) -> bytes:
    return authority.issue("orders").certificate.encode()


def test_authority_is_made_once_and_its_key_is_its_owners(settings: Settings):
    certificate = _issued(Authority(settings))
    assert not Authority(settings).is_due(certificate)
    assert stat.S_IMODE(settings.ca_key_file.stat().st_mode) == 0o600
    public = settings.ca_file.read_bytes()
    assert b"PRIVATE" not in public
    assert stat.S_IMODE(settings.ca_file.stat().st_mode) == 0o644
    x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(x509.load_pem_x509_certificate(public))


def test_each_certificate_has_a_key_of_its_own(settings: Settings):
    authority = Authority(settings)
    assert authority.issue("orders").key != authority.issue("orders").key


def test_names_are_what_clients_connect_to(tmp_path: Path):
    chosen = load_settings(home=tmp_path, bind_address="192.0.2.7", tls_names="db.example.org, 192.0.2.8")
    assert server_names(chosen) == ("localhost", "127.0.0.1", "192.0.2.7", "db.example.org", "192.0.2.8")
    found = x509.load_pem_x509_certificate(_issued(Authority(chosen)))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "db.example.org"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "192.0.2.7", "192.0.2.8"]
    everywhere = load_settings(home=tmp_path, bind_address="0.0.0.0")
    assert server_names(everywhere) == ("localhost", "127.0.0.1")


def test_certificate_is_due_when_little_is_left_or_names_are_others(settings: Settings):
    authority = Authority(settings)
    certificate = _issued(authority)
    assert not authority.is_due(certificate)
    assert authority.is_due(None)
    assert authority.is_due(b"no certificate")
    assert Authority(load_settings(home=settings.home, tls_names="db.example.org")).is_due(certificate)
    # Issued for no time to speak of: nothing is left of it.
    short = Authority(load_settings(home=settings.home, tls_certificate_days=1e-9))
    assert short.is_due(_issued(short))
    assert short.check_every_s < 1


def test_lost_authority_is_replaced_and_that_is_said(settings: Settings):
    certificate = _issued(Authority(settings))
    settings.ca_key_file.unlink()
    with capture_logs() as logs:
        again = Authority(settings)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert str(settings.ca_file) in logs[0]["file"]
    assert again.is_due(certificate)
    assert not again.is_due(_issued(again))


def test_file_that_is_no_authority_is_refused_and_left_alone(settings: Settings):
    Authority(settings)
    whole = settings.ca_key_file.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        settings.ca_key_file.write_bytes(content)
        with pytest.raises(Refused, match="does not hold a certificate authority"):
            Authority(settings)
        assert settings.ca_key_file.read_bytes() == content
    settings.ca_key_file.write_bytes(whole)
    settings.ca_key_file.chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        Authority(settings)
