"""Making clusters from the backups of others, living or destroyed."""

import asyncio
from datetime import UTC, datetime

from model import names
from model.cluster import OVER, ClusterPhase, ClusterView, Durability, PoolMode
from model.errors import AlreadyExists, NotFound, NotYet, Refused
from model.facts import PhaseIs, apply
from model.names import kept_workflow_id
from model.operations import RestoreClusterRequest
from model.plans import find_plan, load_plans
from model.restore import COPY_IT, KeptCluster, name_of_copy, parse_time
from model.search_attributes import CLUSTER, ORG
from model.validation import checked, validated
from starter.client.operation import Operation
from starter.client.submission import Submission, new_cluster_id
from starter.client.temporal import CALL_TIMEOUT, translated

REMOVAL_S = 120.0
"""How long somebody who asks for the removal of backups waits for it."""


class Restoring(Submission):
    """The part of :class:`starter.client.MpgClient` that makes clusters from backups."""

    async def restore_cluster(
        self,
        cluster: str,
        *,
        backup_id: str | None = None,
        pitr_time: datetime | str | None = None,
        lsn: str | None = None,
        latest: bool = False,
        name: str | None = None,
        plan: str | None = None,
        storage_gb: int | None = None,
        pool_mode: PoolMode | str | None = None,
        durability: Durability | str | None = None,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start making a new cluster from *cluster* as it was at one moment; *cluster* itself is not touched.

        The moment is the end of a backup, a time (RFC 3339 with an offset), a position in WAL, or the latest. *cluster*
        may have been destroyed, as long as its backups are kept. What is None is as *cluster* has it; *name* is
        ``<cluster>-restored`` by default. The new cluster's id is in the operation's progress.

        Raises:
            InvalidInput: none of the moments is given, or two are; a time has no offset.
            NotFound: there is no such cluster.
            Refused: it has no backups, or they are not kept any more.
            AlreadyExists: the name is taken.
        """
        source = await self._source(cluster, org)
        spec = source.state.spec
        if isinstance(pitr_time, str):
            pitr_time = parse_time(pitr_time)
        request = validated(
            RestoreClusterRequest,
            cluster_id=new_cluster_id(),
            name=name or name_of_copy(spec.name, "restored"),
            org=org,
            region=self._settings.region,
            host=self._settings.host_name,
            source_id=spec.id,
            backup_id=backup_id,
            pitr_time=pitr_time,
            lsn=lsn,
            latest=latest,
            plan=plan,
            storage_gb=storage_gb,
            pool_mode=pool_mode,
            durability=durability,
        )
        return await self._restore(request, spec.name, request_id)

    async def fork_cluster(
        self, cluster: str, *, name: str | None = None, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start making a new cluster with all that *cluster*, which lives, holds now; ``<cluster>-fork`` by default.

        Raises :class:`~model.errors.Refused` when it is not ready, and as :meth:`restore_cluster`.
        """
        view = await self.view(cluster, org=org)
        spec, phase = view.state.spec, view.state.status.phase
        if phase is not ClusterPhase.READY and phase is not ClusterPhase.UPDATING:
            raise Refused(f"Cluster {spec.name} is not ready but {phase}, so it cannot be forked.")
        name = name or name_of_copy(spec.name, "fork")
        return await self.restore_cluster(spec.id, latest=True, name=name, org=org, request_id=request_id)

    async def kept_clusters(self, *, org: str = names.DEFAULT_ORG, name: str | None = None) -> list[KeptCluster]:
        """Return the destroyed clusters of *org* whose backups are kept, those called *name* where it is given."""
        query = f"WorkflowType='KeptBackups' AND ExecutionStatus='Running' AND {ORG.name}='{checked_org(org)}'"
        if name is not None:
            query += f" AND {CLUSTER.name}='{checked(names.check_cluster_name, name)}'"
        kept: list[KeptCluster] = []
        with translated(self._settings):
            async for found in self._client.list_workflows(query):
                handle = self._client.get_workflow_handle(found.id)
                kept.append(await handle.query("kept", result_type=KeptCluster, rpc_timeout=CALL_TIMEOUT))
        return sorted(kept, key=lambda each: (each.state.spec.name, each.until))

    async def deleted_clusters(self, *, org: str = names.DEFAULT_ORG) -> list[ClusterView]:
        """Return *org*'s destroyed clusters, as long as Temporal remembers them or their backups are kept.

        ``backups_kept_until`` is as it is known now: backups may have been removed before their time.
        """
        kept = {each.state.spec.id: each for each in await self.kept_clusters(org=org)}
        found = {view.state.spec.id: view for view in await super().deleted_clusters(org=org)}
        for cluster_id, each in kept.items():
            # Keeping begins before the cluster goes.
            if cluster_id not in found and await self._view_by_id(cluster_id, living=True) is None:
                found[cluster_id] = ClusterView(state=apply(each.state, [PhaseIs(phase=ClusterPhase.DESTROYED)]))
        return [_kept_until(view, kept[id].until if id in kept else None) for id, view in found.items()]

    async def remove_kept_backups(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> KeptCluster:
        """End the keeping of a destroyed cluster's backups now, and return what was kept. They cannot be had back.

        Raises:
            NotFound: nothing is kept of a cluster of that id or name.
            Refused: it lives, or something is kept of several of that name, which have to be named by id.
            NotYet: they could not be removed yet; that is tried again each hour.
        """
        await self._check_gone(cluster, org)
        state = (await self._kept(cluster, org)).state
        handle = self._client.get_workflow_handle(kept_workflow_id(state.spec.id))
        with translated(self._settings):
            kept = await handle.query("kept", result_type=KeptCluster, rpc_timeout=CALL_TIMEOUT)
            await handle.signal("keep_until", datetime.now(UTC), rpc_timeout=CALL_TIMEOUT)
            try:
                await asyncio.wait_for(handle.result(), REMOVAL_S)
            except TimeoutError:
                raise NotYet(
                    f"The backups of {state.spec.name} ({state.spec.id}) are not removed yet; that is tried each hour.",
                    remedy="A restore may be reading them; else see the worker's log.",
                ) from None
        return kept

    async def _check_gone(self, cluster: str, org: str) -> None:
        """Raise :class:`Refused` where a cluster of that id or name lives: a name that is in use again is its alone."""
        try:
            found = (await self.view(cluster, org=org)).state
        except NotFound:
            return
        if found.status.phase not in OVER:
            raise Refused(
                f"Cluster {found.spec.name} ({found.spec.id}) is not destroyed: its backups are in use, not kept.",
                remedy="Of a destroyed cluster of that name, remove them by its id: 'mpg list --deleted' shows it.",
            )

    async def _source(self, cluster: str, org: str) -> ClusterView:
        """Return what is on record of a cluster that lives, or else of the one of that name or id that is kept."""
        try:
            found = await self.view(cluster, org=org)
        except NotFound:
            found = await self._kept(cluster, org)
        if found.state.spec.backups is None:
            raise Refused(
                f"Cluster {found.state.spec.name} was made before there were backups, so it cannot be restored.",
                remedy=COPY_IT,
            )
        return found

    async def _kept(self, cluster: str, org: str) -> ClusterView:
        kept = await self.kept_clusters(org=org)
        chosen = [each.state for each in kept if cluster in {each.state.spec.id, each.state.spec.name}]
        if not chosen:
            raise NotFound(
                f"There is no cluster {cluster!r} in organization {org}, and no backups are kept of one.",
                remedy="See 'mpg list' and 'mpg list --deleted'.",
            )
        if len(chosen) > 1:
            ids = ", ".join(state.spec.id for state in chosen)
            raise Refused(f"Backups are kept of {len(chosen)} clusters {cluster!r}: name one by its id ({ids}).")
        return ClusterView(state=chosen[0])

    async def _restore(self, request: RestoreClusterRequest, source: str, request_id: str | None) -> Operation:
        if earlier := await self._earlier(request, request.name, request_id):
            return earlier
        if request.plan is not None:
            find_plan(load_plans(self._settings.plans_file), request.plan)
        if await self._claim(request.org, request.name) is not None:
            raise AlreadyExists(
                f"Organization {request.org} has a cluster {request.name!r} already.",
                remedy=f"Say what the one that is made from {source} is to be called: --name NAME.",
            )
        return await self._start(request, request.name, request.org, request_id)


def checked_org(org: str) -> str:
    """Return *org* if it can stand in a query. Raises :class:`~model.errors.InvalidInput`."""
    return checked(names.check_org, org)


def _kept_until(view: ClusterView, until: datetime | None) -> ClusterView:
    status = view.state.status.model_copy(update={"backups_kept_until": until})
    return view.model_copy(update={"state": view.state.model_copy(update={"status": status})})
