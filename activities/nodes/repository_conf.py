"""What pgBackRest works with: where a cluster's repository is, the secrets by which it is read, the configuration."""

from dataclasses import dataclass

from activities.engine.docker_types import File
from model.backups import Repository, RepositoryKind
from model.errors import InvalidInput, WrongMasterKey
from model.names import PGDATA, REPOSITORY_PATH, SOCKET_DIR, SUPERUSER
from model.secrets import key_id, repository_key
from model.settings import Settings

CONF_FILE = "pgbackrest.conf"
CA_FILE = "store-ca.pem"
PG_HERE = {"pg1-path": PGDATA, "pg1-socket-path": SOCKET_DIR, "pg1-user": SUPERUSER}
"""A node whose volume is where a node has it."""


@dataclass(frozen=True)
class RepositoryKeys:
    """The secrets of repositories: what they are encrypted with, and what a store lets the worker in by."""

    master_key: bytes
    store_key: str = ""
    store_secret: str = ""
    store_ca: str = ""
    """Certificates in PEM; empty for those of the image."""

    @classmethod
    def of(cls, settings: Settings, master_key: bytes) -> "RepositoryKeys":
        """Return those of a worker with *settings*. Raises :class:`InvalidInput` when the CA file cannot be read."""
        try:
            ca = settings.backup_s3_ca_file.read_text() if settings.backup_s3_ca_file else ""
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"MPG_BACKUP_S3_CA_FILE cannot be read: {error}.") from error
        return cls(
            master_key=master_key,
            store_key=settings.backup_s3_key.get_secret_value() if settings.backup_s3_key else "",
            store_secret=settings.backup_s3_key_secret.get_secret_value() if settings.backup_s3_key_secret else "",
            store_ca=ca,
        )

    def require(self, repository: Repository) -> None:
        """See that *repository* can be read with these. Raises :class:`WrongMasterKey`."""
        ours = key_id(self.master_key)
        if repository.key_id != ours:
            raise WrongMasterKey(
                f"The backups are encrypted with the master key with id {repository.key_id}; this stack has {ours}.",
                remedy=f"Put the master.key with id {repository.key_id} back and restart the stack.",
            )

    def current(self, repository: Repository) -> Repository:
        """Return where a cluster of *repository* archives with these keys: a new master key begins a new one."""
        return repository.model_copy(update={"key_id": key_id(self.master_key)})


def repository_files(
    repository: Repository, cluster_id: str, keys: RepositoryKeys, directory: str, pg: dict[str, str] | None = None
) -> dict[str, File]:
    """Return path and content of pgBackRest's configuration in *directory*; *pg* has the options of its stanza."""
    content = pgbackrest_conf(repository, cluster_id, keys, directory, PG_HERE if pg is None else pg)
    files = {f"{directory}/{CONF_FILE}": File.private(content)}
    if keys.store_ca and repository.kind is RepositoryKind.S3:
        files[f"{directory}/{CA_FILE}"] = File.private(keys.store_ca)
    return files


def pgbackrest_conf(
    repository: Repository, cluster_id: str, keys: RepositoryKeys, directory: str, pg: dict[str, str]
) -> str:
    """Return pgbackrest.conf. The stanza is called like the cluster."""
    options = {
        "repo1-path": _path(repository, cluster_id),
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": repository_key(keys.master_key, cluster_id),
        "repo1-bundle": "y",
        "repo1-block": "y",
        "compress-type": "zst",
        "start-fast": "y",  # or a backup waits for the next checkpoint
        "expire-auto": "n",  # what goes is decided here (model/retention.py)
        "log-level-file": "off",
        "log-level-console": "off",
        "log-level-stderr": "warn",
        **(_store(repository, keys, directory) if repository.kind is RepositoryKind.S3 else {}),
    }
    return "".join(
        f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
        for section, values in (("global", options), (cluster_id, pg))
    )


def repository_environment(cluster_id: str, directory: str) -> dict[str, str]:
    """Return the variables by which a container's pgBackRest finds its configuration and its stanza."""
    return {"PGBACKREST_CONFIG": f"{directory}/{CONF_FILE}", "PGBACKREST_STANZA": cluster_id}


def _path(repository: Repository, cluster_id: str) -> str:
    """Return where it is in the volume or bucket: what another master key encrypted is not in the way."""
    if repository.kind is RepositoryKind.VOLUME:
        return f"{REPOSITORY_PATH}/{repository.key_id}"
    return "/".join(["", *([repository.prefix] if repository.prefix else []), cluster_id, repository.key_id])


def _store(repository: Repository, keys: RepositoryKeys, directory: str) -> dict[str, str]:
    host, _, port = repository.endpoint.partition(":")
    options = {
        "repo1-type": "s3",
        "repo1-s3-endpoint": host,
        "repo1-s3-bucket": repository.bucket,
        "repo1-s3-region": repository.region,
        "repo1-s3-uri-style": "path" if repository.path_style else "host",
        "repo1-s3-key": keys.store_key,
        "repo1-s3-key-secret": keys.store_secret,
    }
    if port:
        options["repo1-storage-port"] = port
    if keys.store_ca:
        options["repo1-storage-ca-file"] = f"{directory}/{CA_FILE}"
    return options
