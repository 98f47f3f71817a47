"""A cluster's record after a case, beside what it should be."""

from model.cluster import ClusterSpec, FormerUser
from tests.faults.scenarios import Prepared


def with_later_password(prepared: Prepared, found: ClusterSpec) -> ClusterSpec:
    """Return the record as it is to be after the operation; who gets a new password may have a later one than that.

    A version that was given in vain, by an operation that was undone, is remembered by Postgres and not by the record.
    """
    wanted = prepared.after.user(prepared.new_password or "")
    there = found.user(prepared.new_password or "")
    if wanted is None or there is None or there.password_version < wanted.password_version:
        return prepared.after
    users = tuple(
        each.model_copy(update={"password_version": there.password_version}) if each.name == wanted.name else each
        for each in prepared.after.users
    )
    return prepared.after.model_copy(update={"users": users})


def remembers(spec: ClusterSpec, former: FormerUser) -> bool:
    """Tell whether nobody of this name gets a password again that *former* had."""
    return spec.next_password_version(former.name) > former.password_version


def comparable(spec: ClusterSpec) -> dict[str, object]:
    """Return *spec* without the order of its users and databases."""
    told = spec.model_dump(mode="json")
    for name in ("users", "databases"):
        told[name] = sorted(told[name], key=lambda each: each["name"])
    return told


def difference(spec: dict[str, object], other: dict[str, object]) -> str:
    """Return where *spec* is not what it should be, as *other* is."""
    return "; ".join(f"{key}: {spec[key]}, not {other[key]}" for key in spec if spec[key] != other[key])
