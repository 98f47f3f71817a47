"""Which address each container has inside its cluster's network: fixed, so that it is known before it is made."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from model.cluster import Network
from model.names import NODES

_ENDPOINT = 2  # 1 is the gateway
_FIRST_NODE = 3


def endpoint_address(network: Network) -> str:
    """Return the endpoint's address, the second of the subnet."""
    return _nth(network, _ENDPOINT)


def node_address(network: Network, node: str) -> str:
    """Return a node's address: the third of the subnet for ``a``, the fourth for ``b``."""
    return _nth(network, _FIRST_NODE + NODES.index(node))


def subnets(pool: str, prefix: int) -> Iterator[IPv4Network]:
    """Yield the networks of length *prefix* that *pool* (CIDR) holds, lowest first."""
    yield from IPv4Network(pool).subnets(new_prefix=prefix)


def _nth(network: Network, number: int) -> str:
    return str(IPv4Network(network.subnet)[number])
