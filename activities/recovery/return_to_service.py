"""Putting a cluster back in service after an operation that did not complete. Never promotes a node."""

import asyncio
from datetime import UTC, datetime

import psycopg
import structlog

from activities.engine.docker_engine import DockerEngine
from activities.engine.labels import Kind, read_state
from activities.nodes.archiving import release_archiver
from activities.nodes.lifecycle import NodeActivities
from activities.nodes.probe import NodeProbe
from activities.nodes.replica_data import discard_former
from activities.nodes.replication import ReplicationActivities, waits_for_standby
from activities.nodes.repository_conf import RepositoryKeys
from activities.nodes.tls import put_pg_hba
from activities.postgres.sql import SqlSessions
from activities.postgres.storage_notes import put_notes, read_notes
from activities.recovery.inspection import NodeLook, Survey, actual_poolers
from activities.routing.access_file import read_access
from activities.routing.allow_list import put_allow_list
from activities.routing.durability_note import note_durability
from activities.routing.health import POOLER_TIMEOUT_S, start_endpoint, start_pooler
from activities.routing.pooler_console import Console
from activities.routing.pooler_files import write_pooler_files
from activities.routing.poolers import make_pooler
from activities.routing.rules import load_routes
from model.authority import Authority
from model.cluster import Durability, Endpoint, Node, NodeRole, Pooler, PoolerPhase
from model.effects import Bootstrap, EnsureNodeInput, RouteInput, SetSynchronousInput, SettleInput, Target
from model.errors import HostFull, MpgError, NeedsOperator, NotYet, Refused
from model.names import LABEL_KIND, LABEL_NAME
from model.settling import Seen, choose_primary

log = structlog.get_logger()

PRIMARY_TIMEOUT_S = 600.0
"""The replay of a primary that crashed takes as long as there is WAL since its last checkpoint."""
REPLICA_TIMEOUT_S = 30.0
SILENT_TIMEOUT_S = 20.0


class Settling:
    """One cluster's way back into service."""

    def __init__(
        self, docker: DockerEngine, sql: SqlSessions, keys: RepositoryKeys, authority: Authority, arg: SettleInput
    ) -> None:
        """Settle the cluster recorded as ``arg.state``."""
        self._authority = authority
        state = arg.state
        self._may_start_primary = arg.start_primary
        self._is_on_record = bool(arg.ended)
        self._docker = docker
        self._sql = sql
        self._nodes = NodeActivities(docker, sql, keys, authority)
        self._probe = NodeProbe(docker, sql)
        self._survey = Survey(docker, sql, state)
        self._master_key = keys.master_key
        self._state = state

    async def run(self) -> None:
        """Bring up the endpoint, the one primary, the poolers and rules, then the replica; drop what is not on record.

        Raises :class:`NeedsOperator` before anything is changed where no safe step is left, else as each step.
        """
        await self._await_silent()
        looks = await self._survey.nodes()
        recorded = self._state.status.primary
        seen = {name: look.seen for name, look in looks.items()}
        timelines = {name: look.timeline for name, look in looks.items()}
        log.info(
            "settling",
            cluster=self._state.spec.id,
            recorded=recorded and recorded.name,
            seen={name: look.told for name, look in looks.items()},
        )
        primary = looks[choose_primary(recorded and recorded.name, seen, timelines)]
        rejoined = await start_endpoint(
            self._docker, self._state.spec.name, self._endpoint(), self._state.status.poolers
        )
        await self._start_primary(primary)
        await self._let_commit(primary.node)
        await self._serve(primary.node, read_only=None, restart=rejoined)
        await self._let_archive(primary.node)
        await self._put_storage_notes(primary.node)
        replica = await self._start_replica(primary.node, looks)
        if replica is not None:
            await self._route(primary.node, replica.address)
        await self._remove_astray()

    async def _await_silent(self) -> None:
        """Give a node that just starts the time to answer: what it is decides everything else."""

        async def wait(node: Node) -> None:
            target = Target.of(self._state.spec.id, node)
            try:
                await self._probe.await_answer(target, node.container, SILENT_TIMEOUT_S)
            except MpgError as error:
                log.warning("a node does not answer", node=node.name, error=str(error))

        looks = await self._survey.nodes()
        await asyncio.gather(*(wait(look.node) for look in looks.values() if look.seen is Seen.SILENT))

    async def _start_primary(self, look: NodeLook) -> None:
        if look.seen is Seen.STOPPED_PRIMARY:
            if not self._may_start_primary:
                raise Refused(f"Primary {look.node.name} does not run, and that comes first.")
            log.info("starting the primary in place", node=look.node.name)
            try:
                async with asyncio.timeout(PRIMARY_TIMEOUT_S):
                    await self._nodes.start_in_place(self._state.spec.id, look.node)
            except TimeoutError:
                raise NotYet(f"Primary {look.node.name} does not answer after {PRIMARY_TIMEOUT_S:g} s.") from None
            except MpgError as error:
                if error.retryable or isinstance(error, NeedsOperator | HostFull):
                    raise
                # It ended, and would again: whoever wants another try has to change something first.
                raise NeedsOperator(str(error)) from error

    async def _let_commit(self, primary: Node) -> None:
        """A change to ``sync`` that was cut off may have left commits waiting for a replica that nobody watches."""
        target = Target.of(self._state.spec.id, primary)
        if self._state.spec.durability is not Durability.ASYNC:
            return
        async with self._sql.use(target) as connection:
            waits = await waits_for_standby(connection)
        if waits:
            log.info("commits wait for nobody again", node=primary.name)
            await ReplicationActivities(self._sql).set_synchronous(SetSynchronousInput(target=target, standby=None))

    async def _let_archive(self, primary: Node) -> None:
        """A switchover that was cut off may have left its archiver held."""
        try:
            async with self._sql.use(Target.of(self._state.spec.id, primary)) as connection:
                if await release_archiver(connection):
                    log.info("the archiver goes on", node=primary.name)
        except psycopg.Error as error:
            log.warning("the archiver may be held", node=primary.name, error=str(error))

    async def _serve(self, primary: Node, *, read_only: str | None, restart: bool) -> None:
        """Lead poolers and rules to the primary."""
        poolers = await self._poolers()
        await self._put_pg_hba()
        await self._put_allow_list()
        await self._put_durability()
        await write_pooler_files(
            self._docker,
            self._state.spec.id,
            poolers,
            plan=self._state.spec.plan,
            primary_address=primary.address,
            master_key=self._master_key,
        )
        await asyncio.gather(*(start_pooler(self._docker, pooler, again=restart) for pooler in poolers))
        await asyncio.gather(*(self._resume(pooler) for pooler in poolers))
        await self._route(primary, read_only or primary.address)

    async def _put_pg_hba(self) -> None:
        """A change of TLS that was cut off may have left nodes that refuse what poolers on record come with."""
        spec, network = self._state.spec, self._state.status.network
        for node in self._state.status.nodes:
            if network is not None and await self._docker.inspect(node.container) is not None:
                await put_pg_hba(self._docker, node, network, backups=spec.backups is not None, tls=spec.tls)

    async def _put_allow_list(self) -> None:
        """The same for a change of the allow list."""
        container, network = self._endpoint().container, self._state.status.network
        there, wanted = await read_access(self._docker, container), self._state.spec.allow_list
        if network is not None and (there.allow_list if there else ()) != wanted:
            await put_allow_list(self._docker, container, wanted, network.gateway)

    async def _put_durability(self) -> None:
        """The same for what is noted of durability."""
        container, wanted = self._endpoint().container, self._state.spec.durability
        there = await read_access(self._docker, container)
        if there is not None and there.durability not in {None, wanted}:
            await note_durability(self._docker, container, wanted)

    async def _put_storage_notes(self, primary: Node) -> None:
        """An operation that was cut off may have noted a storage that is not on record.

        A cluster that is adopted has its record from these notes, and is not settled after operations.
        """
        spec = self._state.spec
        if not self._is_on_record:
            return
        async with self._sql.use(Target.of(spec.id, primary)) as connection:
            storage_gb, growth = await read_notes(connection)
            if storage_gb is None or (storage_gb, growth) == (spec.storage_gb, spec.auto_grow):
                return
            log.info("storage is noted as it is on record", noted_gb=storage_gb, recorded_gb=spec.storage_gb)
            async with connection.transaction():
                # The replica may be away.
                await connection.execute("SET LOCAL synchronous_commit = local")
                await put_notes(connection, spec.storage_gb, spec.auto_grow)

    async def _poolers(self) -> list[Pooler]:
        """Return the poolers that there are, after those on record whose containers are gone were made anew."""
        spec, endpoint = self._state.spec, self._endpoint()
        for pooler in self._state.status.poolers:
            if pooler.phase is not PoolerPhase.DRAINING and await self._docker.inspect(pooler.container) is None:
                log.warning("making a pooler anew", pooler=pooler.name)
                await make_pooler(
                    self._docker,
                    pooler,
                    cluster_id=spec.id,
                    cluster_name=spec.name,
                    endpoint=endpoint,
                    image=spec.image,
                    authority=self._authority,
                )
        containers = await self._survey.containers()
        return [
            pooler
            for pooler in actual_poolers(self._state.status.poolers, containers, datetime.now(UTC))
            if any(each.labels.get(LABEL_NAME) == pooler.name for each in containers)
        ]

    async def _resume(self, pooler: Pooler) -> None:
        console = await Console.wait_until_answers(
            self._endpoint().address,
            pooler.port,
            master_key=self._master_key,
            cluster_id=self._state.spec.id,
            timeout_s=POOLER_TIMEOUT_S,
        )
        try:
            await console.reload()
            await console.resume()
        except psycopg.Error as error:
            raise NotYet(f"Pooler {pooler.name} could not be resumed: {error}.") from None
        finally:
            await console.close()

    async def _route(self, primary: Node, read_only: str) -> None:
        current = tuple(p.port for p in self._state.status.poolers if p.phase is not PoolerPhase.DRAINING)
        routes = RouteInput(
            cluster_id=self._state.spec.id, pooler_ports=current, direct=primary.address, read_only=read_only
        )
        await load_routes(self._docker, routes)

    async def _start_replica(self, primary: Node, looks: dict[str, NodeLook]) -> Node | None:
        """Return the other node if it follows the primary; one that does not come up must not keep the rest down."""
        look = next((each for each in looks.values() if each.node.name != primary.name), None)
        if look is None or look.seen in {Seen.MISSING, Seen.SILENT}:
            return None
        if look.seen is Seen.STANDBY and look.state is not None and look.state.follows == primary.address:
            await self._tidy_data(look.node)
            return look.node
        try:
            async with asyncio.timeout(REPLICA_TIMEOUT_S):
                return await self._follow(look, primary)
        except (MpgError, TimeoutError, psycopg.Error) as error:
            log.warning("the replica does not come up", node=look.node.name, error=str(error))
            return None

    async def _tidy_data(self, replica: Node) -> None:
        """Finish a repair that was lost: a replica on record as in sync has no use for what it had before its copy."""
        if not replica.in_sync:
            return
        try:
            await discard_former(self._docker, replica.container)
        except MpgError as error:
            log.warning("former data are not removed", node=replica.name, error=str(error))

    async def _follow(self, look: NodeLook, primary: Node) -> Node | None:
        """Run the node as a standby of the primary, on the data it has, rewound if it took writes itself."""
        node = look.node
        found = await self._docker.inspect(node.container)
        label = found and read_state(found.labels)
        if label is None or label.node is None:
            return None
        spec = label.node.model_copy(
            update={"role": NodeRole.REPLICA, "primary_address": primary.address, "tls": self._state.spec.tls}
        )
        same = spec == label.node.model_copy(update={"tls": spec.tls})
        kept = label.bootstrap if same and label.bootstrap else Bootstrap.KEEP
        if look.seen is Seen.STOPPED_PRIMARY:
            kept = Bootstrap.REJOIN
            # pg_rewind compares with the last checkpoint: without one on the new timeline it sees nothing to do.
            async with self._sql.use(Target.of(self._state.spec.id, primary)) as connection:
                await connection.execute("CHECKPOINT")
        return await self._nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=kept, plan=label.plan))

    async def _remove_astray(self) -> None:
        """Remove nodes that the record does not name. Their volumes stay: data is removed only when asked."""
        named = {node.container for node in self._state.status.nodes}
        for each in await self._survey.containers():
            if each.labels.get(LABEL_KIND) == Kind.NODE and each.name not in named:
                log.warning("removing a container that the cluster does not name", container=each.name)
                await self._docker.stop(each.name)
                await self._docker.remove(each.name)

    def _endpoint(self) -> Endpoint:
        if self._state.status.endpoint is None:
            raise NeedsOperator(f"Cluster {self._state.spec.name} has no endpoint on record.", remedy="Destroy it.")
        return self._state.status.endpoint
