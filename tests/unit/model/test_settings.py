"""Settings: where values come from, which one wins, and what a bad one says."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model.backups import RepositoryKind
from model.errors import InvalidInput, Refused
from model.master_key import KEY_BYTES, load_or_create_master_key
from model.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("MPG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MPG_HOME", str(tmp_path))
    return tmp_path


def test_defaults_are_an_embedded_stack_on_loopback(home: Path) -> None:
    settings = load_settings()
    assert settings.home == home
    assert settings.embedded
    assert settings.temporal_target == "127.0.0.1:7233"
    assert settings.port_range == (20000, 29999)
    assert settings.node_image_for(17) == "mpg-node:17"
    assert settings.node_image_for(17, postgis=True) == "mpg-node:17-postgis"


def test_the_environment_wins_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config.toml").write_text('region = "north"\ntemporal_port = 7300\nport_range = [21000, 21999]\n')
    monkeypatch.setenv("MPG_TEMPORAL_PORT", "7400")
    settings = load_settings()
    assert (settings.region, settings.temporal_port, settings.port_range) == ("north", 7400, (21000, 21999))


def test_the_file_is_read_from_the_home_that_is_asked_for(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text('region = "south"\n')
    assert load_settings(home=other).region == "south"


def test_organizations_are_written_with_commas_and_reach_the_next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_ORGANIZATIONS", "personal, shop")
    settings = load_settings()
    assert settings.organizations == ("personal", "shop")
    assert settings.child_environment({})["MPG_ORGANIZATIONS"] == "personal,shop"
    monkeypatch.setenv("MPG_ORGANIZATIONS", "Not one")
    with pytest.raises(InvalidInput, match="MPG_ORGANIZATIONS"):
        load_settings()


def test_a_port_range_is_written_with_a_dash_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_PORT_RANGE", "20100-20199")
    assert load_settings().port_range == (20100, 20199)


def test_an_address_in_the_settings_replaces_the_embedded_temporal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_TEMPORAL_ADDRESS", "temporal.internal:7233")
    settings = load_settings()
    assert not settings.embedded
    assert settings.temporal_target == "temporal.internal:7233"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MPG_TEMPORAL_PORT", "abc"),
        ("MPG_TEMPORAL_PORT", "70000"),
        ("MPG_TEMPORAL_ADDRESS", "no-port"),
        ("MPG_PORT_RANGE", "3-2"),
        ("MPG_PORT_RANGE", "many"),
        ("MPG_SUBNET_POOL", "8.8.8.0/24"),
        ("MPG_SUBNET_POOL", "here"),
        ("MPG_SUBNET_PREFIX", "29"),
        ("MPG_BIND_ADDRESS", "everywhere"),
        ("MPG_LOG_FORMAT", "xml"),
        ("MPG_HOST_NAME", "a b"),
        ("MPG_POOLER_DRAIN_SECONDS", "0"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert name in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_pool_smaller_than_one_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_SUBNET_POOL", "10.0.0.0/30")
    with pytest.raises(InvalidInput, match="subnet_pool"):
        load_settings()


def test_a_misspelled_setting_in_the_file_is_named(home: Path) -> None:
    (home / "config.toml").write_text("temporl_port = 1\n")
    with pytest.raises(InvalidInput, match="temporl_port"):
        load_settings()


def test_a_file_that_is_not_toml_is_named(home: Path) -> None:
    (home / "config.toml").write_text("= nothing\n")
    with pytest.raises(InvalidInput, match=r"config\.toml"):
        load_settings()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPG_TEMPORAL_API_KEY", "hush-hush")
    settings = load_settings()
    assert "hush-hush" not in f"{settings.masked()} {settings}"


def test_the_master_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_master_key, [path] * 32))
    assert len(keys) == 1
    assert len(keys.pop()) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["master.key", "master.key.id"]


def test_a_damaged_master_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(Refused, match="32 bytes"):
        load_or_create_master_key(path)
    assert path.read_bytes() == b"short"


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    load_or_create_master_key(path)
    path.chmod(0o644)
    with pytest.raises(Refused, match="read by others"):
        load_or_create_master_key(path)


def test_backups_go_to_a_volume_unless_a_bucket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().backups("0123456789abcdef").repository.kind is RepositoryKind.VOLUME
    monkeypatch.setenv("MPG_BACKUP_S3_BUCKET", "backups")
    with pytest.raises(InvalidInput, match="backup_s3_endpoint and backup_s3_key and backup_s3_key_secret not"):
        load_settings()
    for name, value in (("ENDPOINT", "s3.example"), ("KEY", "AKIA"), ("KEY_SECRET", "hush"), ("PREFIX", "/mpg/")):
        monkeypatch.setenv(f"MPG_BACKUP_S3_{name}", value)
    repository = load_settings().backups("0123456789abcdef").repository
    assert (repository.kind, repository.bucket, repository.prefix) == (RepositoryKind.S3, "backups", "mpg")
    assert repository.key_id == "0123456789abcdef"
    assert "hush" not in str(load_settings().masked())


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({"temporal_ui_port": 8300}, "http://127.0.0.1:8300"),
        ({"temporal_address": "temporal.internal:7233"}, None),
        (
            {"temporal_address": "temporal.internal:7233", "temporal_ui_url": "https://ui.internal/"},
            "https://ui.internal",
        ),
        ({"temporal_ui_url": "https://ui.internal"}, "https://ui.internal"),
    ],
)
def test_where_temporals_page_is(given: dict[str, Any], page: str | None, tmp_path: Path) -> None:
    assert Settings.model_validate({"home": tmp_path, **given}).temporal_page == page


def test_address_of_temporals_page_has_to_be_one_that_a_browser_opens(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"home": tmp_path, "temporal_ui_url": "javascript:alert(1)"})
