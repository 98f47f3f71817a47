"""The endpoint on real Docker: what is led where, what is refused, and ports that others have."""

import asyncio
import socket

import psycopg
import pytest
from rig import Rig, TestCluster, network_address, new_cluster_id, until

from activities.routing.endpoint import EndpointActivities
from activities.routing.pooler_console import Console
from activities.routing.rules import Rules, RulesSession, render_rules
from model.effects import CheckHostInput, ClusterKey, CreateEndpointInput
from model.errors import HostFull, MpgError
from model.names import network

pytestmark = pytest.mark.integration


async def _in_recovery(conninfo: str) -> object:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        row = await (await connection.execute("SELECT pg_is_in_recovery()")).fetchone()
    assert row is not None
    return row[0]


async def test_each_address_leads_to_its_node(cluster: TestCluster) -> None:
    endpoint = cluster.endpoint
    assert await _in_recovery(cluster.conninfo(endpoint.pooled)) is False
    assert await _in_recovery(cluster.conninfo(endpoint.direct)) is False
    assert await _in_recovery(cluster.conninfo(endpoint.read_only)) is True


async def test_changed_route_affects_new_connections_only(rig: Rig, cluster: TestCluster) -> None:
    direct = cluster.conninfo(cluster.endpoint.direct)
    async with await psycopg.AsyncConnection.connect(direct, autocommit=True) as open_one:
        assert cluster.b is not None
        await rig.endpoints.set_routes(cluster.routes.model_copy(update={"direct": cluster.b.address}))
        assert await _in_recovery(direct) is True
        for _ in range(50):
            row = await (await open_one.execute("SELECT pg_is_in_recovery()")).fetchone()
            assert row == (False,)
        await rig.endpoints.set_routes(cluster.routes)
    assert await _in_recovery(direct) is False


async def test_route_taken_away_refuses_at_once_and_spares_open_connections(rig: Rig, cluster: TestCluster) -> None:
    direct = cluster.conninfo(cluster.endpoint.direct)
    async with await psycopg.AsyncConnection.connect(direct, autocommit=True) as open_one:
        await rig.endpoints.set_routes(cluster.routes.model_copy(update={"direct": None}))
        started = asyncio.get_running_loop().time()
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(direct)
        assert asyncio.get_running_loop().time() - started < 1
        await open_one.execute("SELECT 1")
        await rig.endpoints.set_routes(cluster.routes)
    assert await _in_recovery(direct) is False


async def test_rules_survive_a_restart_of_the_endpoint(rig: Rig, cluster_id: str) -> None:
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    made = await rig.endpoints.create_network(ClusterKey(cluster_id=cluster_id))
    arg = CreateEndpointInput(cluster_id=cluster_id, cluster_name="test", network=made, image=check.image)
    endpoint = await rig.endpoints.create_endpoint(arg)
    rules = render_rules(Rules(pooler_ports=(6441,), direct=network_address(made, 3), gateway=made.gateway))
    session = await RulesSession.open(rig.docker, endpoint.container)
    await session.load(rules)
    await session.close()
    await rig.docker.stop(endpoint.container, signal="SIGTERM")
    assert await rig.endpoints.create_endpoint(arg) == endpoint
    listing = await rig.docker.open_exec(endpoint.container, ("sh",))
    shown = await listing.converse(b"nft list table ip mpg; echo END.\n", b"END.\n", 5)
    await listing.close()
    assert f"dnat to {network_address(made, 3)}:5432" in shown.decode()


async def test_rules_that_nft_refuses_change_nothing(rig: Rig, cluster: TestCluster) -> None:
    session = await RulesSession.open(rig.docker, cluster.endpoint.container)
    with pytest.raises(MpgError, match="syntax error"):
        await session.load("table ip mpg {\n")
    await session.close()
    assert await _in_recovery(cluster.conninfo(cluster.endpoint.direct)) is False


async def test_consoles_are_out_of_reach_for_others_than_the_worker(rig: Rig, cluster: TestCluster) -> None:
    port = cluster.poolers[0].port
    console = await Console.open(cluster.endpoint.address, port, master_key=rig.master_key, cluster_id=cluster.id)
    assert not await console.is_paused()
    await console.close()
    shell = await rig.docker.open_exec(cluster.a.container, ("bash",))
    asked = f"(exec 3<>/dev/tcp/{cluster.endpoint.address}/{port}) 2>&1 && echo reached; echo END.\n"
    answer = await shell.converse(asked.encode(), b"END.\n", 5)
    await shell.close()
    assert b"refused" in answer
    assert b"reached" not in answer


async def test_endpoint_is_made_once_and_keeps_its_ports(rig: Rig, cluster: TestCluster) -> None:
    again = await rig.endpoints.create_endpoint(
        CreateEndpointInput(cluster_id=cluster.id, cluster_name="test", network=cluster.network, image=cluster.image)
    )
    assert again == cluster.endpoint


async def test_ports_that_others_have_are_passed_over(rig: Rig, cluster_id: str) -> None:
    settings = rig.settings.model_copy(update={"port_range": (31900, 31910)})
    endpoints = EndpointActivities(rig.docker, settings)
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    made = await endpoints.create_network(ClusterKey(cluster_id=cluster_id))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 31901))
        taken.listen()
        endpoint = await endpoints.create_endpoint(
            CreateEndpointInput(cluster_id=cluster_id, cluster_name="test", network=made, image=check.image)
        )
    assert [endpoint.pooled.port, endpoint.direct.port, endpoint.read_only.port] == [31900, 31902, 31903]


async def test_range_without_free_ports_is_said(rig: Rig, cluster_id: str) -> None:
    settings = rig.settings.model_copy(update={"port_range": (31920, 31921)})
    endpoints = EndpointActivities(rig.docker, settings)
    made = await endpoints.create_network(ClusterKey(cluster_id=cluster_id))
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    with pytest.raises(HostFull, match="31920-31921"):
        await endpoints.create_endpoint(
            CreateEndpointInput(cluster_id=cluster_id, cluster_name="test", network=made, image=check.image)
        )


async def test_networks_made_at_once_get_subnets_of_their_own_until_the_pool_is_empty(rig: Rig) -> None:
    settings = rig.settings.model_copy(update={"subnet_pool": "10.217.240.0/27"})
    ids = [new_cluster_id() for _ in range(3)]
    # Two processes at once: the engine decides which of them gets a subnet.
    makers = [EndpointActivities(rig.docker, settings) for _ in ids]
    try:
        answers = await asyncio.gather(
            *(maker.create_network(ClusterKey(cluster_id=each)) for maker, each in zip(makers, ids, strict=True)),
            return_exceptions=True,
        )
        made = [each for each in answers if not isinstance(each, BaseException)]
        assert {each.subnet for each in made} == {"10.217.240.0/28", "10.217.240.16/28"}
        assert [type(each) for each in answers if isinstance(each, BaseException)] == [HostFull]
        assert await makers[0].create_network(ClusterKey(cluster_id=made[0].name.removeprefix("mpg-"))) == made[0]
    finally:
        for each in ids:
            await rig.docker.remove_network(network(each))


async def test_read_only_falls_back_to_where_it_is_led(rig: Rig, cluster: TestCluster) -> None:
    await rig.endpoints.set_routes(cluster.routes.model_copy(update={"read_only": cluster.a.address}))
    assert await _in_recovery(cluster.conninfo(cluster.endpoint.read_only)) is False
    await rig.endpoints.set_routes(cluster.routes)

    async def back() -> bool:
        return await _in_recovery(cluster.conninfo(cluster.endpoint.read_only)) is True

    await until(back)
