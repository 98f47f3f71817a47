"""Every setting of this machine's stack: environment variables ``MPG_…``, then ``config.toml`` in ``MPG_HOME``.

The environment wins. Nothing here is kept per cluster: what a cluster is made of is in its spec.
"""

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from model.backups import BackupPolicy, Backups, Repository, RepositoryKind
from model.cron import OFF, CronLine, CronLineOrOff
from model.errors import InvalidInput
from model.names import DEFAULT_ORG, check_org

CONFIG_FILE = "config.toml"
LOOPBACK = "127.0.0.1"
POSTGIS_SUFFIX = "-postgis"
"""Ends the tag of a node image that has PostGIS."""


def default_home() -> Path:
    """Return the state directory: ``MPG_HOME``, or ``~/.local/share/mpg``."""
    return Path(os.environ.get("MPG_HOME") or "~/.local/share/mpg").expanduser().absolute()


_TEMPORAL_FILES = ("temporal_tls_ca_file", "temporal_tls_cert_file", "temporal_tls_key_file")


class Settings(BaseSettings):
    """The settings in force. Read them once, with :func:`load_settings`, and pass them on."""

    model_config = SettingsConfigDict(env_prefix="MPG_", frozen=True, extra="forbid", env_ignore_empty=True)

    home: Path = Field(default_factory=default_home)
    """State directory: Temporal's database, the master key, logs, sockets of the poolers."""

    temporal_address: str | None = None
    """``host:port`` of a Temporal service of your own; unset, the stack runs one itself."""
    temporal_namespace: str = Field("mpg", min_length=1)
    temporal_api_key: SecretStr | None = None
    """API key for ``temporal_address``, where it asks for one."""
    temporal_tls: bool = False
    """Speak TLS to ``temporal_address``."""
    temporal_tls_ca_file: Path | None = None
    """PEM file of the authorities that its certificate is verified with; unset, those of the system."""
    temporal_tls_server_name: str | None = None
    """Name in its certificate, where that is not the one in ``temporal_address``."""
    temporal_tls_cert_file: Path | None = None
    """PEM file of the certificate that it is shown (mTLS), and of the key of that."""
    temporal_tls_key_file: Path | None = None
    temporal_port: int = Field(7233, ge=1, le=65535)
    """Port of the embedded Temporal on loopback."""
    temporal_ui_port: int = Field(8233, ge=1, le=65535)
    """Port of the embedded Temporal's web page on loopback."""
    temporal_ui_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """Address of Temporal's web page, for links to it; unset, that of the embedded one."""
    temporal_retention_days: int = Field(30, ge=1, le=3650)
    """Days that Temporal keeps a finished workflow, so how far back `operations list` sees."""

    host_name: str = Field("local", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """Name of this machine; its containers are worked on through the task queue ``host/<host_name>``."""
    region: str = Field("local", min_length=1)
    """Region code that clusters made here carry."""
    docker_host: str | None = None
    """Address of the Docker engine (``unix://…`` or ``tcp://…``); unset, ``DOCKER_HOST`` or the local socket."""

    bind_address: str = LOOPBACK
    """Address that endpoints publish their ports on."""
    port_range: Annotated[tuple[int, int], NoDecode] = (20000, 29999)
    """First and last host port for endpoints, both included; in the environment ``20000-29999``."""
    subnet_pool: str = "10.213.0.0/16"
    """Addresses from which every cluster gets a network of its own."""
    subnet_prefix: int = Field(28, ge=16, le=28)
    """Prefix length of one cluster's network: 28 leaves 13 addresses for containers."""

    allow_overcommit: bool = False
    """Let the plans on this host add up to more memory and CPUs than it has."""
    allow_storage_overcommit: bool = False
    """Let the clusters on this host be promised more storage than its disk has room for."""
    plans_file: Path | None = None
    """A TOML file that replaces the table of plans."""
    node_image: str = Field("mpg-node", min_length=1)
    """Name of the node image; its tag is the Postgres major version, and with PostGIS ``<major>-postgis``."""
    postgis: bool = False
    """This host is to have the image with PostGIS too, beside the plain one."""

    extra_labels: dict[str, str] = Field(default_factory=dict)
    """Docker labels for all that is made here, beside our own; in the environment a JSON object."""

    tls_names: Annotated[tuple[str, ...], NoDecode] = ()
    """Names and addresses by which clients reach endpoints, beside loopback and ``bind_address``; by comma."""
    tls_certificate_days: float = Field(90, gt=0)
    """For how long a server's certificate is valid. It is renewed when a third of that is left."""

    pooler_drain_seconds: float = Field(600, gt=0)
    """How long poolers of a former pool mode serve sessions that stay, in seconds."""

    backup_s3_bucket: str | None = None
    """Bucket of an S3-compatible store for the backups of new clusters; unset, each gets a volume on its host."""
    backup_s3_endpoint: str | None = None
    """``host`` or ``host:port`` of that store; it is always spoken to over TLS."""
    backup_s3_region: str = "us-east-1"
    backup_s3_prefix: str = Field("", pattern=r"^[A-Za-z0-9._/-]*$")
    """Directory in the bucket under which each cluster has one that is called like its id."""
    backup_s3_path_style: bool = False
    """Whether the bucket is in the path of a URL rather than in its host's name."""
    backup_s3_ca_file: Path | None = None
    """PEM file of the authorities that the store's certificate is verified with; unset, the image's own."""
    backup_s3_key: SecretStr | None = None
    backup_s3_key_secret: SecretStr | None = None
    backup_full: CronLine = BackupPolicy().full
    """When new clusters make full backups: a cron line in UTC; and incremental ones."""
    backup_incr: CronLine = BackupPolicy().incr
    backup_drill: CronLineOrOff = "15 4 * * 0"
    """When the latest backup of new clusters is restored to see that it can be; ``off``: only when asked for."""
    backup_keep_full: int = Field(BackupPolicy().keep_full, ge=1)
    """How many full backups of a new cluster are kept at least."""
    backup_keep_days: int = Field(BackupPolicy().keep_days, ge=1)
    """How many days back a new cluster can be restored to any moment."""
    backup_cpus: float = Field(0.25, ge=0.05, le=64)
    """Processors of a backup that takes longer than some seconds."""
    backup_overdue_factor: float = Field(1.5, gt=1)
    """A backup is overdue (condition ``BackupOverdue``) this many intervals of its schedule after the one before."""
    drill_memory_mb: int = Field(1024, ge=256)
    """Memory of the container in which a backup is restored to see that it can be, in MB."""
    drill_overdue_factor: float = Field(1.5, gt=1)
    """No backup was proven for this many intervals of the schedule of drills: condition ``DrillOverdue``."""
    archive_overdue_seconds: float = Field(300, gt=0)
    """How old the last archived WAL may be while more waits (condition ``ArchivingFails``), in seconds."""

    worker_processes: int = Field(1, ge=1, le=16)
    """Worker processes that the stack runs side by side."""
    worker_module: str = Field("worker", pattern=r"^\w+(\.\w+)*$")
    """Python module that a worker process runs."""

    api_port: int = Field(4280, ge=0, le=65535)
    """Port of the HTTP API on loopback; 0 leaves it out."""
    api_tls: bool = False
    """Serve the HTTP API over TLS, with a certificate of the installation's authority."""
    api_streams: int = Field(1000, ge=1, le=10_000)
    """How many event streams of the HTTP API may be open at a time."""
    audit_days: int = Field(365, ge=1, le=3650)
    """How many days it is kept on record to whom passwords were shown."""
    organizations: Annotated[tuple[str, ...], NoDecode] = (DEFAULT_ORG,)
    """Organizations that the API offers beside those that have clusters; in the environment ``personal,shop``."""

    webhook_private_networks: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks (CIDR) with addresses that are not public and that webhooks may go to all the same; by comma."""
    webhook_plain_http: bool = False
    """Let webhooks go to http URLs too: what they say can then be read on the way."""

    metrics_seconds: float = Field(15, ge=0)
    """How often metrics are read, of a cluster by its worker and of that by Prometheus, in seconds; 0: never."""
    metrics_port: int = Field(0, ge=0, le=65535)
    """Port on loopback at which a worker shows its metrics; 0: a free one, of which Prometheus is told."""
    metrics_days: int = Field(31, ge=1, le=3650)
    """How many days the stack's own Prometheus keeps metrics."""
    prometheus_url: str | None = Field(None, pattern=r"^https?://[^/\s]+(/\S*)?$")
    """URL of a Prometheus of your own, which is asked for metrics; unset, the stack runs one itself."""
    prometheus_port: int = Field(9090, ge=0, le=65535)
    """Port of the stack's own Prometheus on loopback; 0 leaves it out."""
    prometheus_binary: Path | None = None
    """The program that is run for it; unset, the one on the PATH, else one that was got by ``mpg doctor --fix``."""

    traces_url: str | None = Field(None, pattern=r"^https?://[^/\s@]+(/\S*)?$")
    """URL that the API and workers send traces to (OTLP/HTTP); unset, there are none."""

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("home", "plans_file", "backup_s3_ca_file", "prometheus_binary", *_TEMPORAL_FILES, mode="after")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("bind_address", mode="after")
    @classmethod
    def _is_address(cls, address: str) -> str:
        ipaddress.ip_address(address)
        return address

    @field_validator("temporal_address", mode="after")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address is not None and not address.rpartition(":")[2].isdigit():
            raise ValueError("it must be host:port")
        return address

    @field_validator("port_range", mode="before")
    @classmethod
    def _from_text(cls, ports: Any) -> Any:
        return tuple(ports.split("-")) if isinstance(ports, str) else ports

    @field_validator("organizations", "tls_names", "webhook_private_networks", mode="before")
    @classmethod
    def _from_list(cls, slugs: Any) -> Any:
        return tuple(slug.strip() for slug in slugs.split(",") if slug.strip()) if isinstance(slugs, str) else slugs

    @field_validator("organizations", mode="after")
    @classmethod
    def _are_slugs(cls, slugs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_org(slug) for slug in slugs)

    @field_validator("webhook_private_networks", mode="after")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network)) for network in networks)

    @field_validator("port_range", mode="after")
    @classmethod
    def _is_range(cls, ports: tuple[int, int]) -> tuple[int, int]:
        if not 1024 <= ports[0] <= ports[1] <= 65535:
            raise ValueError("it must be two ports between 1024 and 65535, the smaller one first")
        return ports

    @model_validator(mode="after")
    def _pool_holds_networks(self) -> Self:
        if ipaddress.ip_network(self.subnet_pool).prefixlen > self.subnet_prefix:
            raise ValueError(f"subnet_pool {self.subnet_pool} is smaller than one network of /{self.subnet_prefix}")
        return self

    @field_validator("subnet_pool", mode="after")
    @classmethod
    def _is_private(cls, pool: str) -> str:
        if not ipaddress.ip_network(pool).is_private:
            raise ValueError("it must be a private network")
        return pool

    @model_validator(mode="after")
    def _temporal_tls_is_whole(self) -> Self:
        if (self.temporal_tls_cert_file is None) is not (self.temporal_tls_key_file is None):
            raise ValueError("temporal_tls_cert_file and temporal_tls_key_file are set together or not at all")
        if not self.temporal_tls and any(getattr(self, name) for name in _TEMPORAL_FILES):
            raise ValueError("files for TLS to Temporal are named and temporal_tls is not set")
        return self

    @model_validator(mode="after")
    def _store_is_whole(self) -> Self:
        needed = ("backup_s3_endpoint", "backup_s3_key", "backup_s3_key_secret")
        if self.backup_s3_bucket and (lacking := [name for name in needed if not getattr(self, name)]):
            raise ValueError(f"backup_s3_bucket is set and {' and '.join(lacking)} not")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=_config_file(init_settings().get("home")))
        return init_settings, env_settings, toml

    @property
    def embedded(self) -> bool:
        """Tell whether the stack runs Temporal itself."""
        return self.temporal_address is None

    @property
    def temporal_target(self) -> str:
        """Return ``host:port`` of the Temporal service in use, embedded or not."""
        return self.temporal_address or f"{LOOPBACK}:{self.temporal_port}"

    @property
    def temporal_page(self) -> str | None:
        """Return the address of Temporal's web page, None where it is not known."""
        ours = f"http://{LOOPBACK}:{self.temporal_ui_port}" if self.embedded else None
        return self.temporal_ui_url.rstrip("/") if self.temporal_ui_url else ours

    @property
    def master_key_file(self) -> Path:
        """Return the file from which every password is derived; losing it loses the passwords."""
        return self.home / "master.key"

    @property
    def ca_key_file(self) -> Path:
        """Return the file of the certificate authority, its private key included."""
        return self.home / "ca.key"

    @property
    def ca_file(self) -> Path:
        """Return the authority's certificate, with which clients verify that they speak to one of its clusters."""
        return self.home / "ca.crt"

    @property
    def api_dir(self) -> Path:
        """Return the directory of the API's own: the key of its tokens, and which were issued."""
        return self.home / "api"

    @property
    def api_url(self) -> str:
        """Return where the API answers."""
        return f"{'https' if self.api_tls else 'http'}://{LOOPBACK}:{self.api_port}"

    @property
    def runs_prometheus(self) -> bool:
        """Tell whether the embedded stack runs a Prometheus."""
        return self.prometheus_url is None and self.prometheus_port != 0

    @property
    def prometheus_target(self) -> str | None:
        """Return the URL of the Prometheus in use, the stack's own or another; None where there is none."""
        if self.prometheus_url is not None:
            return self.prometheus_url.rstrip("/")
        return f"http://{LOOPBACK}:{self.prometheus_port}" if self.prometheus_port else None

    @property
    def metrics_targets_dir(self) -> Path:
        """Return the directory in which workers say where they show their metrics (Prometheus' file_sd)."""
        return self.home / "metrics" / "targets"

    @property
    def audit_dir(self) -> Path:
        """Return the directory of the record of passwords that were shown."""
        return self.home / "audit"

    @property
    def webhook_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the networks of addresses that are not public and that webhooks may go to."""
        return tuple(ipaddress.ip_network(network) for network in self.webhook_private_networks)

    @property
    def logs_dir(self) -> Path:
        """Return the directory of the stack's logs."""
        return self.home / "logs"

    @property
    def fences_dir(self) -> Path:
        """Return the directory in which the host's workers keep steps of ended operations from beginning."""
        return self.home / "run" / "fences"

    @property
    def workers_dir(self) -> Path:
        """Return the directory in which the host's workers tell each other that they live."""
        return self.home / "run" / "workers"

    def node_image_for(self, pg_major: int, *, postgis: bool = False) -> str:
        """Return the image of a node with Postgres *pg_major*, and PostGIS if the cluster is to have it."""
        return f"{self.node_image}:{pg_major}{POSTGIS_SUFFIX if postgis else ''}"

    def backups(self, key_id: str) -> Backups:
        """Return where and how new clusters are backed up; *key_id* is the master key's."""
        if self.backup_s3_bucket is None:
            repository = Repository(kind=RepositoryKind.VOLUME, key_id=key_id)
        else:
            repository = Repository(
                kind=RepositoryKind.S3,
                key_id=key_id,
                endpoint=self.backup_s3_endpoint or "",
                bucket=self.backup_s3_bucket,
                region=self.backup_s3_region,
                prefix=self.backup_s3_prefix.strip("/"),
                path_style=self.backup_s3_path_style,
            )
        policy = BackupPolicy(
            full=self.backup_full,
            incr=self.backup_incr,
            keep_full=self.backup_keep_full,
            keep_days=self.backup_keep_days,
            drill="" if self.backup_drill == OFF else self.backup_drill,
        )
        return Backups(repository=repository, policy=policy)

    def child_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return *environ* with the variables that give another process these same settings, secrets included."""
        low, high = self.port_range
        as_text = {
            "port_range": f"{low}-{high}",
            "extra_labels": json.dumps(self.extra_labels),
            "organizations": ",".join(self.organizations),
            "tls_names": ",".join(self.tls_names),
            "webhook_private_networks": ",".join(self.webhook_private_networks),
        }
        values = {name: value for name, value in self if value is not None} | as_text
        shown = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in values.items()}
        ours = {f"MPG_{name.upper()}" for name in type(self).model_fields}
        kept = {name: value for name, value in environ.items() if name not in ours}
        return kept | {f"MPG_{name.upper()}": value for name, value in shown.items()}

    def masked(self) -> dict[str, Any]:
        """Return the settings as JSON values, secrets as asterisks."""
        return self.model_dump(mode="json")


def _config_file(home: str | Path | None = None) -> Path:
    return Path(home or default_home()) / CONFIG_FILE


def load_settings(**overrides: Any) -> Settings:
    """Return the settings in force, *overrides* first.

    Raises:
        InvalidInput: a value is wrong; the sentence names the variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _explain(error) from None
    except tomllib.TOMLDecodeError as error:
        file = _config_file(overrides.get("home"))
        raise InvalidInput(f"{file} is not valid TOML: {error}.", remedy="Correct or remove it.") from None


def _explain(error: ValidationError) -> InvalidInput:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "extra_forbidden":
        return InvalidInput(f"{CONFIG_FILE} has an unknown setting '{name}'.", remedy="Correct or remove it.")
    variable = f"MPG_{name.upper()}" if name else "The settings"
    shown = "" if not name or name == "temporal_api_key" else f" ({first['input']!r})"
    return InvalidInput(f"{variable}{shown} can't be used: {said[:1].lower()}{said[1:]}.", remedy="Correct it.")
