"""When a master key is made, and when it is missed."""

import secrets
from pathlib import Path

import pytest

from model.errors import Refused
from model.master_key import KEY_BYTES, key_record, load_master_key, load_or_create_master_key, renew_master_key
from model.secrets import key_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


def put(path: Path, key: bytes) -> bytes:
    path.write_bytes(key)
    path.chmod(0o600)
    return key


def test_key_of_an_older_version_is_taken_and_recorded(path: Path) -> None:
    key = put(path, secrets.token_bytes(KEY_BYTES))
    path.with_name("temporal.db").touch()
    assert load_or_create_master_key(path) == key
    assert key_record(path).read_text() == f"{key_id(key)}\n"


def test_missing_key_is_named_and_none_is_made(path: Path) -> None:
    key = load_or_create_master_key(path)
    path.unlink()
    with pytest.raises(Refused, match=f"master key with id {key_id(key)}") as caught:
        load_or_create_master_key(path)
    assert "mpg up --new-key" in str(caught.value)
    assert not path.exists()
    put(path, key)
    assert load_or_create_master_key(path) == key


@pytest.mark.parametrize("trace", ["temporal.db", "run/workers"])
def test_missing_key_of_an_older_version_is_missed_too(path: Path, trace: str) -> None:
    (path.parent / trace).mkdir(parents=True)
    with pytest.raises(Refused, match="this stack has served with a master key"):
        load_or_create_master_key(path)
    assert not path.exists()


def test_another_key_is_refused_also_where_passwords_are_shown(path: Path) -> None:
    key = load_or_create_master_key(path)
    other = put(path, secrets.token_bytes(KEY_BYTES))
    for load in (load_or_create_master_key, load_master_key):
        with pytest.raises(Refused, match=rf"another key \({key_id(other)}\).* served with \({key_id(key)}\)"):
            load(path)
    assert path.read_bytes() == other


def test_lost_key_is_replaced_on_demand_and_its_id_is_kept(path: Path) -> None:
    key = load_or_create_master_key(path)
    path.unlink()
    renew_master_key(path)
    new = load_or_create_master_key(path)
    assert new != key
    [former] = path.parent.glob("master.key.id.until-*")
    assert former.read_text() == f"{key_id(key)}\n"


def test_another_key_is_taken_on_demand(path: Path) -> None:
    load_or_create_master_key(path)
    other = put(path, secrets.token_bytes(KEY_BYTES))
    renew_master_key(path)
    assert load_or_create_master_key(path) == other


def test_demand_for_another_key_changes_nothing_where_the_key_is_there(path: Path) -> None:
    key = load_or_create_master_key(path)
    renew_master_key(path)
    assert load_or_create_master_key(path) == key
    assert sorted(each.name for each in path.parent.iterdir()) == ["master.key", "master.key.id"]


def test_key_that_cannot_be_used_does_not_replace_the_record(path: Path) -> None:
    key = load_or_create_master_key(path)
    put(path, b"short")
    with pytest.raises(Refused, match="32 bytes"):
        renew_master_key(path)
    assert key_record(path).read_text() == f"{key_id(key)}\n"
