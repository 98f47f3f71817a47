"""From which networks clients may come: how a network is written, and how a list of them is changed."""

import ipaddress
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

MOST_NETWORKS = 200


def check_network(value: str) -> str:
    """Return a network in CIDR form; a single address is one of /32. Raises ``ValueError`` with a sentence."""
    try:
        found = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 network such as 192.0.2.0/24, nor an address.") from None
    if found.version != 4:
        raise ValueError(f"{value!r} is an IPv6 network: endpoints see the addresses of IPv4 clients only.")
    return str(found)


def admits(networks: Iterable[str], address: str) -> bool:
    """Tell whether a list of *networks* lets an IPv4 *address* in; an empty one lets everybody in."""
    found = [ipaddress.IPv4Network(each) for each in networks]
    return not found or any(ipaddress.IPv4Address(address) in each for each in found)


Cidr = Annotated[str, AfterValidator(check_network)]


def changed(old: tuple[str, ...], add: Iterable[str], remove: Iterable[str], *, clear: bool) -> tuple[str, ...]:
    """Return the list after a change, by address: emptied first if asked for, then *remove*, then *add*."""
    kept: set[str] = set() if clear else set(old) - set(remove)
    return tuple(sorted(kept | set(add), key=ipaddress.IPv4Network))
