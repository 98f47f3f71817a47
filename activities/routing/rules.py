"""The endpoint's nftables rules: rendered by a pure function, loaded through a conversation that stays open."""

import re
import secrets

from activities.engine.docker_engine import DockerEngine
from activities.engine.exec_session import ExecSession
from model.base import Record
from model.effects import RouteInput
from model.errors import MpgError, NotFound
from model.names import (
    DIRECT_PORT,
    FIRST_POOLER_PORT,
    LAST_POOLER_PORT,
    POOLED_PORT,
    POSTGRES_PORT,
    READ_ONLY_PORT,
    endpoint_container,
    network,
)

RULES_FILE = "/etc/mpg/rules.nft"
ALLOW_FILE = "/etc/mpg/access.nft"
"""A table of its own (activities/routing/allow_list.py), which changes of routes leave as it is."""
_INCLUDE = 'include "/etc/mpg/access*.nft"'
"""With a wildcard: nft insists on a file that is named in full."""
PUBLIC_PORTS = f"{{ {DIRECT_PORT}, {READ_ONLY_PORT}, {POOLED_PORT} }}"
ANSWER_TIMEOUT_S = 3.0


class Rules(Record):
    """Where new connections are routed. None, or no port, refuses them. ``gateway`` is the worker's way in."""

    pooler_ports: tuple[int, ...] = ()
    direct: str | None = None
    read_only: str | None = None
    gateway: str


def render_rules(rules: Rules) -> str:
    """Return the ruleset, one transaction for ``nft -f``: it replaces what was there, all or nothing.

    The table is flushed and never deleted, so its hooks stay and open connections keep their translation.
    """
    routed = [
        _pooled(rules.pooler_ports),
        _to_node(DIRECT_PORT, rules.direct),
        _to_node(READ_ONLY_PORT, rules.read_only),
    ]
    prerouting = "\n".join(f"        {line}" for line in routed if line)
    poolers = f"tcp dport {FIRST_POOLER_PORT}-{LAST_POOLER_PORT}"
    return f"""\
table ip mpg {{
    chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
    chain input {{ type filter hook input priority filter; policy accept; }}
    chain forward {{ type filter hook forward priority filter; policy drop; }}
}}
flush table ip mpg
table ip mpg {{
    chain prerouting {{
{prerouting}
    }}
    chain postrouting {{
        ct status dnat masquerade
    }}
    chain input {{
        {poolers} ct status dnat accept
        {poolers} iif lo accept
        {poolers} ip saddr {rules.gateway} accept
        {poolers} reject with tcp reset
        tcp dport {PUBLIC_PORTS} reject with tcp reset
    }}
    chain forward {{
        ct status dnat accept
    }}
}}
{_INCLUDE}
"""


def read_pooler_ports(ruleset: str) -> tuple[int, ...]:
    """Return the ports of the poolers that *ruleset*, of :func:`render_rules`, routes new connections to."""
    rule = re.search(rf"^\s*tcp dport {POOLED_PORT} redirect to .* map \{{(.*)\}}", ruleset, re.MULTILINE)
    return tuple(int(port) for port in re.findall(r"\d+ : (\d+)", rule[1])) if rule else ()


def _pooled(ports: tuple[int, ...]) -> str:
    if not ports:
        return ""
    turns = ", ".join(f"{turn} : {port}" for turn, port in enumerate(ports))
    return f"tcp dport {POOLED_PORT} redirect to :numgen inc mod {len(ports)} map {{ {turns} }}"


def _to_node(port: int, address: str | None) -> str:
    return f"tcp dport {port} dnat to {address}:{POSTGRES_PORT}" if address else ""


class RulesSession:
    """A shell in the endpoint, started beforehand: a change through it takes 20 ms instead of 150."""

    def __init__(self, session: ExecSession) -> None:
        """Take over *session*; callers use :meth:`open`."""
        self._session = session

    @classmethod
    async def open(cls, engine: DockerEngine, container: str) -> "RulesSession":
        """Start the shell in the endpoint's *container* and wait until it answers. Raises errors of the engine."""
        rules = cls(await engine.open_exec(container, ("sh",)))
        await rules._run(":")
        return rules

    async def load(self, ruleset: str) -> None:
        """Put *ruleset* in force, and into the file that a restart loads. New connections only are affected.

        Raises:
            MpgError: nft refused it; the rules and the file are as before.
            StackDown: the endpoint's container does not answer.
        """
        end = f"END-{secrets.token_hex(4)}"
        await self._run(
            f"cat > {RULES_FILE}.new <<'{end}'\n{ruleset}\n{end}\n"
            f"nft -f {RULES_FILE}.new && mv {RULES_FILE}.new {RULES_FILE}"
        )

    async def load_allow_list(self, ruleset: str) -> None:
        """Put the table of *ruleset* in force, and have a restart load it too. Raises as :meth:`load`."""
        end = f"END-{secrets.token_hex(4)}"
        await self._run(
            f"cat > {ALLOW_FILE}.new <<'{end}'\n{ruleset}\n{end}\n"
            f"nft -f {ALLOW_FILE}.new && mv {ALLOW_FILE}.new {ALLOW_FILE} && "
            # The rules of an endpoint from before there were lists.
            f"{{ grep -qF '{_INCLUDE}' {RULES_FILE} || echo '{_INCLUDE}' >> {RULES_FILE}; }}"
        )

    async def list_set(self, table: str, name: str) -> str:
        """Return what ``nft -j`` says about a set. Raises :class:`MpgError` where there is none."""
        return await self._run(f"nft -j list set ip {table} {name}")

    async def ports_at(self, address: str, came_in_at: int) -> list[int]:
        """Return the client ports that the node at *address* sees of open connections that *came_in_at* this port."""
        flows = f"-p tcp --state ESTABLISHED --orig-port-dst {came_in_at} --reply-src {address}"
        listed = await self._run(f"conntrack -L {flows} 2>/dev/null || :")
        # Each line has the client's side first and the node's last.
        return [int(re.findall(r"dport=(\d+)", line)[-1]) for line in listed.splitlines() if "dport=" in line]

    async def close(self) -> None:
        """End the shell."""
        await self._session.close()

    async def _run(self, script: str) -> str:
        mark = f"DONE-{secrets.token_hex(8)}"
        # The newlines of the answer are part of it: a command's own output can end without one.
        asked = f"{{ {script}\n}} 2>&1; echo {mark} $?; echo {mark}.\n"
        output = await self._session.converse(asked.encode(), f"{mark}.\n".encode(), ANSWER_TIMEOUT_S)
        said, _, code = output.decode(errors="replace").rpartition(mark)
        if code.strip() != "0":
            raise MpgError(f"A command in the endpoint failed: {said.strip() or f'code {code.strip()}'}.")
        return said


async def load_routes(docker: DockerEngine, routes: RouteInput) -> None:
    """Lead a cluster's new connections as *routes* say. Raises :class:`NotFound` when there is no endpoint."""
    container = endpoint_container(routes.cluster_id)
    found = await docker.inspect(container)
    if found is None:
        raise NotFound(f"There is no container {container}: the cluster has no endpoint.")
    rules = Rules(
        pooler_ports=routes.pooler_ports,
        direct=routes.direct,
        read_only=routes.read_only,
        gateway=found.gateways[network(routes.cluster_id)],
    )
    session = await RulesSession.open(docker, container)
    try:
        await session.load(render_rules(rules))
    finally:
        await session.close()
