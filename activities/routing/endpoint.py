"""Effects on a cluster's network and endpoint: made, and new connections routed."""

import asyncio
import ipaddress
import socket

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import (
    CONFIG_DIR,
    ContainerSpec,
    EngineError,
    File,
    NetworkInfo,
    PublishedPort,
    RestartPolicy,
)
from activities.engine.labels import Kind, StateLabel, make_labels, read_state
from activities.heartbeat import heartbeating
from activities.routing.allow_list import allow_files
from activities.routing.rules import RULES_FILE, Rules, load_routes, render_rules
from model import effects
from model.addresses import endpoint_address, subnets
from model.cluster import Address, Endpoint, Network
from model.effects import ClusterKey, CreateEndpointInput, Nothing, RouteInput
from model.errors import HostFull, NeedsOperator
from model.names import (
    DIRECT_PORT,
    LABEL_KIND,
    POOLED_PORT,
    READ_ONLY_PORT,
    endpoint_container,
    network,
)
from model.settings import LOOPBACK, Settings

PORT_ATTEMPTS = 5
MEMORY_MB = 128
"""It only sleeps; a shell and nft come and go. Connections are the kernel's."""
MOST_PROCESSES = 64
_PUBLISHED = (POOLED_PORT, DIRECT_PORT, READ_ONLY_PORT)


class EndpointActivities:
    """Effects on networks and endpoints."""

    def __init__(self, docker: DockerEngine, settings: Settings) -> None:
        """Work through *docker*; addresses and ports come from the pools in *settings*."""
        self._docker = docker
        self._settings = settings
        # Between choosing something free and taking it, nobody else in this process chooses.
        self._networks = asyncio.Lock()
        self._ports = asyncio.Lock()

    @activity.defn(name=effects.CREATE_NETWORK.name)
    async def create_network(self, arg: ClusterKey) -> Network:
        """Make the cluster's bridge network on the first free subnet of the pool.

        Raises:
            HostFull: every subnet of the pool is in use.
        """
        async with heartbeating(), self._networks:
            name = network(arg.cluster_id)
            found = await self._docker.inspect_network(name)
            return _network(found) if found else await self._take_subnet(arg.cluster_id, name)

    @activity.defn(name=effects.CREATE_ENDPOINT.name)
    async def create_endpoint(self, arg: CreateEndpointInput) -> Endpoint:
        """Make and start the container that owns the addresses clients use; until routes are set it refuses them.

        Raises:
            HostFull: no ports are free in the range.
            NeedsOperator: a container is there that does not say which ports it has.
        """
        async with heartbeating():
            found = await self._docker.inspect(endpoint_container(arg.cluster_id))
            if found is None:
                return await self._take_ports(arg)
            label = read_state(found.labels)
            if label is None or label.endpoint is None:
                raise NeedsOperator(f"Container {found.name} has no readable mpg.state label.", remedy="Remove it.")
            if found.started_at is None:
                # Left by a start that failed or was cut off: perhaps its ports are taken.
                await self._docker.remove(found.name, force=True)
                return await self._take_ports(arg)
            await self._docker.start(found.name)
            return label.endpoint

    @activity.defn(name=effects.SET_ROUTES.name)
    async def set_routes(self, arg: RouteInput) -> Nothing:
        """Lead new connections, all rules in one transaction. Raises :class:`NotFound`, :class:`StackDown`."""
        async with heartbeating():
            await load_routes(self._docker, arg)
        return Nothing()

    async def _take_subnet(self, cluster_id: str, name: str) -> Network:
        taken = [ipaddress.ip_network(each) for known in await self._docker.networks() for each in known.subnets]
        for subnet in subnets(self._settings.subnet_pool, self._settings.subnet_prefix):
            if any(subnet.version == other.version and subnet.overlaps(other) for other in taken):
                continue
            made = Network(name=name, subnet=str(subnet), gateway=str(subnet[1]))
            if await self._try_network(cluster_id, made):
                return made
        raise HostFull(
            f"Every network of the pool {self._settings.subnet_pool} is in use.",
            remedy="Destroy clusters you no longer need, or set MPG_SUBNET_POOL to a larger one.",
        )

    async def _try_network(self, cluster_id: str, made: Network) -> bool:
        labels = make_labels(cluster_id, Kind.NETWORK, made.name)
        try:
            await self._docker.create_network(made.name, subnet=made.subnet, gateway=made.gateway, labels=labels)
        except EngineError as error:
            # Another process took it meanwhile, or the host routes those addresses elsewhere.
            if "overlap" in error.explanation.lower() or "conflicts" in error.explanation.lower():
                return False
            raise
        return True

    async def _take_ports(self, arg: CreateEndpointInput) -> Endpoint:
        refused: set[int] = set()
        async with self._ports:
            for _ in range(PORT_ATTEMPTS):
                ports = await self._free_ports(refused)
                endpoint = self._endpoint(arg, ports)
                if await self._try_endpoint(arg, endpoint, ports):
                    return endpoint
                refused.update(ports)
        raise HostFull(
            f"No ports could be published after {PORT_ATTEMPTS} attempts.",
            remedy="See what listens in MPG_PORT_RANGE, or choose another range.",
        )

    async def _free_ports(self, refused: set[int]) -> list[int]:
        """Return three ports that no endpoint has, running or stopped, and that nobody listens on."""
        owned = await self._docker.list_containers({LABEL_KIND: Kind.ENDPOINT.value})
        labels = [read_state(each.labels) for each in owned]
        taken = refused | {port for label in labels if label and label.endpoint for port in _ports_of(label.endpoint)}
        first, last = self._settings.port_range
        free: list[int] = []
        for port in range(first, last + 1):
            if port not in taken and _bindable(self._settings.bind_address, port):
                free.append(port)
            if len(free) == len(_PUBLISHED):
                return free
        raise HostFull(
            f"Fewer than {len(_PUBLISHED)} ports of {first}-{last} are free.",
            remedy="Destroy clusters you no longer need, or set MPG_PORT_RANGE to a wider range.",
        )

    def _endpoint(self, arg: CreateEndpointInput, ports: list[int]) -> Endpoint:
        bound = ipaddress.ip_address(self._settings.bind_address)
        host = LOOPBACK if bound.is_unspecified else str(bound)
        pooled, direct, read_only = (Address(host=host, port=port) for port in ports)
        return Endpoint(
            container=endpoint_container(arg.cluster_id),
            address=endpoint_address(arg.network),
            pooled=pooled,
            direct=direct,
            read_only=read_only,
        )

    async def _try_endpoint(self, arg: CreateEndpointInput, endpoint: Endpoint, ports: list[int]) -> bool:
        state = StateLabel(
            cluster_id=arg.cluster_id, cluster_name=arg.cluster_name, endpoint=endpoint, origin=arg.origin
        )
        await self._docker.create(
            ContainerSpec(
                name=endpoint.container,
                image=arg.image,
                command=("endpoint",),
                labels=make_labels(arg.cluster_id, Kind.ENDPOINT, "endpoint", state=state),
                network=arg.network.name,
                address=endpoint.address,
                ports=tuple(
                    PublishedPort(container_port=inside, address=self._settings.bind_address, port=outside)
                    for inside, outside in zip(_PUBLISHED, ports, strict=True)
                ),
                capabilities=("NET_ADMIN",),
                own=(CONFIG_DIR,),
                # It forwards to the nodes, and never tells a client to go there by itself.
                sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.send_redirects": "0"},
                restart=RestartPolicy.UNLESS_STOPPED,
                memory_mb=MEMORY_MB,
                cpus=1,
                pids=MOST_PROCESSES,
            )
        )
        rules = render_rules(Rules(gateway=arg.network.gateway))
        files = {RULES_FILE: File(content=rules.encode()), **allow_files(arg.allow_list, arg.network.gateway)}
        await self._docker.put_files(endpoint.container, files)
        try:
            await self._docker.start(endpoint.container)
        except EngineError as error:
            await self._docker.remove(endpoint.container, force=True)
            if _is_port_conflict(error):
                return False
            raise
        return True


def _network(found: NetworkInfo) -> Network:
    return Network(name=found.name, subnet=found.subnets[0], gateway=found.gateway)


def _ports_of(endpoint: Endpoint) -> set[int]:
    return {endpoint.pooled.port, endpoint.direct.port, endpoint.read_only.port}


def _bindable(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _is_port_conflict(error: EngineError) -> bool:
    return any(said in error.explanation for said in ("port is already allocated", "address already in use"))
