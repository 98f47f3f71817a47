"""pgBackRest's configuration, rendered from where a repository is and from the worker's secrets."""

import configparser
from pathlib import Path

import pytest

from activities.nodes.files import CONF_DIR
from activities.nodes.repository_conf import RepositoryKeys, pgbackrest_conf, repository_files
from model.backups import Repository, RepositoryKind
from model.errors import InvalidInput, WrongMasterKey
from model.secrets import key_id, repository_key
from model.settings import load_settings

KEYS = RepositoryKeys(b"k" * 32, store_key="AKIA", store_secret="s3cret", store_ca="-----BEGIN CERTIFICATE-----\n")
CLUSTER = "abcdefgh12345678"
VOLUME = Repository(kind=RepositoryKind.VOLUME, key_id=key_id(KEYS.master_key))
STORE = Repository(
    kind=RepositoryKind.S3,
    key_id=key_id(KEYS.master_key),
    endpoint="store.example:9000",
    bucket="backups",
    region="north",
    prefix="mpg/prod",
    path_style=True,
)


def conf(repository: Repository) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(pgbackrest_conf(repository, CLUSTER, KEYS, CONF_DIR, {"pg1-path": "/data"}))
    assert dict(parser[CLUSTER]) == {"pg1-path": "/data"}
    return dict(parser["global"])


def test_a_volume_is_encrypted_and_has_a_directory_for_each_master_key() -> None:
    said = conf(VOLUME)
    assert said["repo1-path"] == f"/var/lib/pgbackrest/{VOLUME.key_id}"
    assert (said["repo1-cipher-type"], said["repo1-cipher-pass"]) == (
        "aes-256-cbc",
        repository_key(KEYS.master_key, CLUSTER),
    )
    assert not [name for name in said if "s3" in name]


def test_a_store_has_the_cluster_in_its_path() -> None:
    said = conf(STORE)
    assert said["repo1-path"] == f"/mpg/prod/{CLUSTER}/{STORE.key_id}"
    assert (said["repo1-s3-endpoint"], said["repo1-storage-port"]) == ("store.example", "9000")
    assert (said["repo1-s3-uri-style"], said["repo1-s3-region"]) == ("path", "north")
    assert said["repo1-storage-ca-file"] == f"{CONF_DIR}/store-ca.pem"


def test_a_port_and_authorities_of_ones_own_are_optional() -> None:
    plain = STORE.model_copy(update={"endpoint": "s3.example", "prefix": "", "path_style": False})
    said = pgbackrest_conf(plain, CLUSTER, RepositoryKeys(KEYS.master_key), CONF_DIR, {})
    assert "storage-port" not in said
    assert "ca-file" not in said
    assert f"repo1-path=/{CLUSTER}/" in said


def test_files_are_private() -> None:
    files = repository_files(STORE, CLUSTER, KEYS, CONF_DIR)
    assert sorted(files) == [f"{CONF_DIR}/pgbackrest.conf", f"{CONF_DIR}/store-ca.pem"]
    assert {file.mode for file in files.values()} == {0o600}
    assert sorted(repository_files(VOLUME, CLUSTER, KEYS, CONF_DIR)) == [f"{CONF_DIR}/pgbackrest.conf"]


def test_archiving_never_leaves_a_process_behind() -> None:
    # Its parent would be Postgres, which takes its failure for a crash of one of its own.
    assert "archive-async" not in pgbackrest_conf(VOLUME, CLUSTER, KEYS, CONF_DIR, {})


def test_a_repository_of_another_key_is_refused_by_its_id() -> None:
    KEYS.require(VOLUME)
    with pytest.raises(WrongMasterKey, match="0123456789abcdef"):
        KEYS.require(VOLUME.model_copy(update={"key_id": "0123456789abcdef"}))


def test_authorities_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, backup_s3_ca_file=tmp_path / "none.pem")
    with pytest.raises(InvalidInput, match="MPG_BACKUP_S3_CA_FILE"):
        RepositoryKeys.of(settings, b"k" * 32)
