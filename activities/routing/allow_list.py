"""Which networks clients may come from: a table of nftables in the endpoint, apart from the one that routes.

Changes of routes flush their own table only. The file that they are in includes this one, so that both are loaded
again when the endpoint is started.
"""

import ipaddress
import json
from collections.abc import Sequence

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import File
from activities.heartbeat import heartbeating
from activities.routing.access_file import ACCESS_FILE, read_access, write_access
from activities.routing.rules import ALLOW_FILE, PUBLIC_PORTS, RulesSession
from model import effects
from model.allow_list import admits
from model.effects import Nothing, SetAllowListInput
from model.errors import MpgError, NotFound
from model.rebuilding import AccessPart
from model.settings import LOOPBACK

_TABLE = "mpg_access"
_REMEMBERED = "1h"
_MOST_REMEMBERED = 1000


def render_allow_list(networks: Sequence[str], gateway: str) -> str:
    """Return the table for ``nft -f``, which replaces the one there was. No *networks*: everybody may come in.

    Only packets that begin a connection are looked at. What comes from the host itself, and over Docker's userland
    proxy, has the *gateway*'s address: it is in where loopback is.
    """
    declared = f"""\
table ip {_TABLE} {{
    set refused {{ type ipv4_addr; size {_MOST_REMEMBERED}; flags dynamic,timeout; timeout {_REMEMBERED}; counter; }}
    chain prerouting {{ type filter hook prerouting priority mangle; policy accept; }}
    chain refuse {{ }}
}}
flush table ip {_TABLE}
"""
    if not networks:
        return declared
    allowed = ", ".join(_allowed(networks, gateway))
    return f"""{declared}\
table ip {_TABLE} {{
    chain prerouting {{
        tcp dport {PUBLIC_PORTS} ct state new ip saddr != {{ {allowed} }} jump refuse
    }}
    chain refuse {{
        update @refused {{ ip saddr }}
        reject with tcp reset
    }}
}}
"""


def allow_files(networks: Sequence[str], gateway: str) -> dict[str, File]:
    """Return path and content of what an endpoint that is made has of its list; nothing where everybody may come in."""
    if not networks:
        return {}
    note = AccessPart(allow_list=tuple(networks)).model_dump_json()
    texts = {ALLOW_FILE: render_allow_list(networks, gateway), ACCESS_FILE: note}
    return {path: File(content=text.encode()) for path, text in texts.items()}


async def put_allow_list(docker: DockerEngine, container: str, networks: Sequence[str], gateway: str) -> None:
    """Let new connections through the endpoint of *container* come from *networks* only, and keep that there.

    Raises :class:`NotFound` where it is gone, :class:`MpgError` where nft refused it: then all is as before.
    """
    if await docker.inspect(container) is None:
        raise NotFound(f"There is no container {container}: the cluster has no endpoint.")
    session = await RulesSession.open(docker, container)
    try:
        await session.load_allow_list(render_allow_list(networks, gateway))
    finally:
        await session.close()
    known = await read_access(docker, container) or AccessPart()
    await write_access(docker, container, known.model_copy(update={"allow_list": tuple(networks)}))


async def refused_by(docker: DockerEngine, container: str) -> dict[str, int]:
    """Return the addresses that the endpoint of *container* refused lately, and how often each.

    Raises :class:`StackDown` where it does not answer.
    """
    session = await RulesSession.open(docker, container)
    try:
        said = await session.list_set(_TABLE, "refused")
    except MpgError:
        return {}  # of an endpoint that never had a list
    finally:
        await session.close()
    return read_refused(said)


def read_refused(listed: str) -> dict[str, int]:
    """Return addresses and how often each was refused, from ``nft -j list set``."""
    found: dict[str, int] = {}
    for each in json.loads(listed)["nftables"]:
        for element in each.get("set", {}).get("elem", ()):
            said = element["elem"]
            found[said["val"]] = said.get("counter", {}).get("packets", 0)
    return found


def _allowed(networks: Sequence[str], gateway: str) -> list[str]:
    parsed = [ipaddress.IPv4Network(each) for each in networks]
    if admits(networks, LOOPBACK):
        parsed.append(ipaddress.IPv4Network(gateway))
    return [str(each) for each in ipaddress.collapse_addresses(parsed)]


class AllowListActivities:
    """The effect ``set_allow_list``."""

    def __init__(self, docker: DockerEngine) -> None:
        """Work through *docker*."""
        self._docker = docker

    @activity.defn(name=effects.SET_ALLOW_LIST.name)
    async def set_allow_list(self, arg: SetAllowListInput) -> Nothing:
        """Say where new connections may come from; sessions that are open stay. Raises :class:`NotFound`."""
        async with heartbeating():
            await put_allow_list(self._docker, arg.endpoint.container, arg.networks, arg.network.gateway)
        return Nothing()
