"""What other systems document about how long clients wait, each with the page that says so.

Only figures that a system's own pages state. Ubicloud documents "a few minutes" for healing with a standby and Fly's
Managed Postgres "a brief period of downtime" for a change of plan; neither is a figure, so neither is here.
"""

from enum import StrEnum

from model.base import Record


class Event(StrEnum):
    """What clients wait for."""

    PLANNED = "The primary moves, planned"
    LOST = "The primary is lost"


class Documented(Record):
    """A figure from a system's own pages, in seconds. ``typical_s`` is None where only a bound is stated."""

    event: Event
    system: str
    typical_s: float | None = None
    at_most_s: float
    says: str
    source: str


_CNPG = "https://github.com/cloudnative-pg/cloudnative-pg/blob"
_RDS = "https://docs.amazonaws.cn/en_us/AmazonRDS/latest/UserGuide"
_IBM = "https://cloud.ibm.com/docs/databases-for-postgresql?topic=databases-for-postgresql-high-availability"

DOCUMENTED = (
    Documented(
        event=Event.PLANNED,
        system="IBM Cloud Databases",
        at_most_s=15,
        says="at a controlled switchover, reconnecting can fail for up to 15 seconds",
        source=_IBM,
    ),
    Documented(
        event=Event.PLANNED,
        system="CloudNativePG",
        at_most_s=20,
        says="its tests of a switchover allow 20 seconds between written rows",
        source=f"{_CNPG}/00b82f18840cfd4df60dc1c4001f366e0a28e265/tests/e2e/fastswitchover_test.go",
    ),
    Documented(
        event=Event.LOST,
        system="CloudNativePG",
        at_most_s=10,
        says="its tests of a failover allow 10 seconds between written rows, more on some clouds",
        source=f"{_CNPG}/03dfbd415a55d4e652d5d13d976229e78bb48ad9/tests/e2e/fastfailover_test.go",
    ),
    Documented(
        event=Event.LOST,
        system="Patroni, until it begins",
        at_most_s=30,
        says="`ttl`, the time before an automatic failover begins, is 30 seconds by default; the failover comes on top",
        source="https://patroni.readthedocs.io/en/latest/dynamic_configuration.html",
    ),
    Documented(
        event=Event.LOST,
        system="RDS Multi-AZ cluster",
        at_most_s=35,
        says="a failover typically takes under 35 seconds",
        source=f"{_RDS}/multi-az-db-clusters-concepts-failover.md",
    ),
    Documented(
        event=Event.LOST,
        system="IBM Cloud Databases",
        at_most_s=45,
        says="an unplanned failover can take up to 45 seconds",
        source=_IBM,
    ),
    Documented(
        event=Event.LOST,
        system="RDS Multi-AZ instance",
        typical_s=60,
        at_most_s=120,
        says="a failover typically takes 60 to 120 seconds",
        source=f"{_RDS}/Concepts.MultiAZ.Failover.md",
    ),
)
