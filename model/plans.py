"""Plans: the resources of a node and the limits of its poolers, and the Postgres settings that follow from them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from model.base import Record
from model.errors import HostTooSmall, InvalidInput


class Plan(Record):
    """What a cluster's nodes get. Fly.io's public table is the default; an operator may replace it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    cpus: int = Field(ge=1)
    shared_cpus: bool = False
    memory_mb: int = Field(ge=256)
    max_client_connections: int = Field(ge=1)
    """Clients that each PgBouncer accepts."""
    max_database_connections: int = Field(ge=2)
    """Server connections that all PgBouncers of the cluster open together."""
    reserve_pool: int = Field(ge=0)
    """Extra server connections for bursts, together."""
    usd_per_month: int = 0

    @property
    def memory_text(self) -> str:
        """The memory for people: ``8 GB``."""
        return f"{self.memory_mb // 1024} GB" if self.memory_mb % 1024 == 0 else f"{self.memory_mb} MB"


def _plan(name: str, cpus: int, gb: int, clients: int, servers: int, reserve: int, usd: int) -> Plan:
    return Plan(
        name=name,
        cpus=cpus,
        shared_cpus=name in {"basic", "starter"},
        memory_mb=gb * 1024,
        max_client_connections=clients,
        max_database_connections=servers,
        reserve_pool=reserve,
        usd_per_month=usd,
    )


DEFAULT_PLANS: Mapping[str, Plan] = {
    plan.name: plan
    for plan in (
        _plan("basic", 2, 1, 200, 50, 10, 38),
        _plan("starter", 2, 2, 200, 50, 10, 72),
        _plan("launch", 2, 8, 500, 150, 30, 282),
        _plan("scale", 4, 32, 1000, 300, 50, 962),
        _plan("performance", 8, 64, 1000, 300, 50, 1922),
    )
}


def load_plans(path: Path | None) -> Mapping[str, Plan]:
    """Return the plan table: the default, or the operator's TOML file of ``[plans.NAME]`` tables.

    Raises :class:`InvalidInput` naming the file when it cannot be read as that.
    """
    if path is None:
        return DEFAULT_PLANS
    try:
        tables = tomllib.loads(path.read_text())["plans"]
        plans = [Plan(name=name, **fields) for name, fields in tables.items()]
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InvalidInput(f"The plan table {path} cannot be used: {detail}.") from error
    if not plans:
        raise InvalidInput(f"The plan table {path} holds no plan.")
    return {plan.name: plan for plan in plans}


def find_plan(plans: Mapping[str, Plan], name: str) -> Plan:
    """Return the plan called *name*. Raises :class:`InvalidInput` listing those there are."""
    if name not in plans:
        raise InvalidInput(f"There is no plan {name!r}; the plans are {', '.join(plans)}.")
    return plans[name]


class HostCapacity(Record):
    """What a host has: CPUs, and memory in MB."""

    cpus: int
    memory_mb: int


class Resources(Record):
    """What a node's container really gets: the plan's, cut to the host's where overcommit is allowed."""

    cpus: int
    memory_mb: int


def fit(plan: Plan, host: HostCapacity, *, allow_overcommit: bool) -> Resources:
    """Return the resources of a node of *plan* on *host*.

    Raises :class:`HostTooSmall` with the numbers when the host is smaller and overcommit is not allowed.
    """
    if not allow_overcommit:
        if plan.cpus > host.cpus:
            raise HostTooSmall(_too_small(plan, f"{plan.cpus} CPUs", f"{host.cpus}"), remedy=_OVERCOMMIT)
        if plan.memory_mb > host.memory_mb:
            raise HostTooSmall(
                _too_small(plan, f"{plan.memory_text} of memory", f"{host.memory_mb / 1024:.1f} GB"), remedy=_OVERCOMMIT
            )
    return Resources(cpus=min(plan.cpus, host.cpus), memory_mb=min(plan.memory_mb, host.memory_mb))


_OVERCOMMIT = "Choose a smaller plan, or set MPG_ALLOW_OVERCOMMIT=true on a machine that is not for production."


def _too_small(plan: Plan, needs: str, has: str) -> str:
    return f"Plan {plan.name} needs {needs}, this host has {has}."
