"""The client over HTTP, with the names and arguments of the one over Temporal.

::

    async with MpgClient.connect_http("http://127.0.0.1:4280", token) as mpg:
        operation = await mpg.change_plan("orders", "launch")
        await operation.result()
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self

import httpx

from model import names
from model.apps import App, Attachment
from model.base import Record
from model.cluster import Durability, PoolMode
from model.errors import NotFound
from model.operations import DestroyClusterRequest, OperationRequest
from model.restore import name_of_copy
from model.validation import checked, validated
from starter.client.http.operation import HttpOperation
from starter.client.http.reads import HttpReads
from starter.client.http.wire import Wire, machines_path, operation_path, parsed, path
from starter.client.operating import Operating
from starter.client.shapes import OperationShape
from starter.client.submission import UNRESOLVED

ANSWER_S = 60.0
"""Bound on the silence of an answer: a restore is answered once the new cluster is on record, within 20 s."""

CREATED = 201


class _Begun(Record):
    data: OperationShape


class _Attached(Record):
    id: int
    attached_at: datetime


class _Attachment(Record):
    data: _Attached


class HttpMpgClient(HttpReads, Operating[HttpOperation]):
    """Starts operations over HTTP, and reads what the API serves.

    *cluster* is everywhere an id or a name in organization *org*. ``request_id`` is sent as the ``Idempotency-Key``:
    the same key and request answer with the first call's operation, another request with that key raises
    :class:`~model.errors.InvalidInput`. Errors are those of model/errors.py; a token that is refused, or does not cover
    what is asked, raises :class:`~model.errors.Refused` or :class:`~model.errors.NotFound`.
    """

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, token: str) -> AsyncGenerator[Self]:
        """Use the API at *url* with *token*. Nothing is asked yet."""
        timeout = httpx.Timeout(5.0, read=ANSWER_S)
        headers = {"Authorization": f"Bearer {token}"}
        # No redirects: they would take the token elsewhere.
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, follow_redirects=False) as http:
            yield cls(Wire(http))

    async def create_cluster(
        self,
        name: str,
        *,
        org: str = names.DEFAULT_ORG,
        region: str | None = None,
        plan: str = "basic",
        storage_gb: int = 10,
        pg_major_version: int = 17,
        pool_mode: PoolMode | str = PoolMode.TRANSACTION,
        durability: Durability | str = Durability.SYNC,
        postgis_enabled: bool = False,
        require_tls: bool = False,
        request_id: str | None = None,
    ) -> HttpOperation:
        """Start the creation of a cluster; ``storage_gb`` is per node. Its id is in the operation's progress.

        Raises what keeps it from being put on record, too.
        """
        body: dict[str, object] = {
            "name": checked(names.check_cluster_name, name),
            "region": region,
            "plan": plan,
            "storage_in_gb": storage_gb,
            "pg_major_version": pg_major_version,
            "pool_mode": pool_mode,
            "durability": durability,
            "postgis_enabled": postgis_enabled,
            "require_tls": require_tls,
        }
        key = _key(request_id)
        at = path("organizations", checked(names.check_org, org), "postgresv2")
        await self._wire.call("POST", at, body=body, key=key)
        return self._known("CreateCluster", name, org, key)

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
    ) -> HttpOperation:
        """Start making a new cluster from *cluster* as it was at one moment; *cluster* itself is not touched.

        Raises what keeps it from being put on record, too, such as a backup that is not there.
        """
        source, key = await self._source(cluster, org), _key(request_id)
        called = name or name_of_copy(source.name, "restored")
        body: dict[str, object] = {
            "backup_id": backup_id,
            "pitr_time": pitr_time.isoformat() if isinstance(pitr_time, datetime) else pitr_time,
            "lsn": lsn,
            "latest": latest,
            "name": called,
            "plan": plan,
            "storage_in_gb": storage_gb,
            "pool_mode": pool_mode,
            "durability": durability,
        }
        await self._wire.call("POST", path("postgresv2", source.id, "restore"), body=body, key=key)
        return self._known("RestoreCluster", called, org, key)

    async def fork_cluster(
        self, cluster: str, *, name: str | None = None, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> HttpOperation:
        """Start making a new cluster with all that *cluster* holds now; ``<cluster>-fork`` by default."""
        source, key = await self.show_cluster(cluster, org=org), _key(request_id)
        called = name or name_of_copy(source.name, "fork")
        await self._wire.call("POST", machines_path(source.id, "fork"), body={"name": called}, key=key)
        return self._known("RestoreCluster", called, org, key)

    async def retry(self, operation_id: str, *, request_id: str | None = None) -> HttpOperation:
        """Start a new operation with the request of an earlier one that did not complete; that one stays as it is."""
        answer = await self._wire.call("POST", operation_path(operation_id, "retry"), key=_key(request_id))
        return self.operation(parsed(_Begun, answer).data.id)

    async def attach_app(
        self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Attachment:
        """Put *app* on the cluster's record, for people to see who uses it. Raises InvalidInput, NotFound, Refused."""
        key = _key(request_id)
        known = await self.show_cluster(cluster, org=org)
        body: dict[str, object] = {"app_name": app}
        # The one call tells whether it was there before, the other what it is on the record.
        first = await self._wire.answer("POST", machines_path(known.id, "attachments"), body=body, key=key)
        found = await self._wire.call("POST", path("postgresv2", known.id, "attachments"), body=body, key=key)
        shown = parsed(_Attachment, found).data
        attached = App(id=shown.id, name=app, attached_at=shown.attached_at)
        return Attachment(app=attached, made=first.status_code == CREATED)

    async def detach_app(
        self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> None:
        """Take *app* off the cluster's record. Raises NotFound."""
        known = await self.show_cluster(cluster, org=org)
        await self._wire.call("DELETE", path("postgresv2", known.id, "attachments", app), key=_key(request_id))

    async def _submit(
        self, kind: type[OperationRequest], cluster: str, org: str, request_id: str | None, **fields: object
    ) -> HttpOperation:
        request, key = validated(kind, cluster_id=UNRESOLVED, **fields), _key(request_id)
        try:
            known = await self.show_cluster(cluster, org=org)
        except NotFound:
            if request_id is not None and kind is DestroyClusterRequest:
                return await self._destroyed_before(cluster, org, key)
            raise
        sent = request.model_dump(mode="json", exclude={"cluster_id"}, exclude_defaults=True)
        answer = await self._wire.call(
            "POST", path("postgresv2", known.id, "operations"), body={"operation": kind.operation, **sent}, key=key
        )
        return self.operation(parsed(_Begun, answer).data.id)

    async def _destroyed_before(self, cluster: str, org: str, key: str) -> HttpOperation:
        """Return the destruction that *key* began of a cluster whose name is free by now. Raises NotFound."""
        for each in await self.list_deleted(org=org):
            if cluster in {each.id, each.name}:
                earlier = self._known(DestroyClusterRequest.operation, each.name, org, key)
                await earlier.describe()
                return earlier
        raise NotFound(f"There is no cluster {cluster!r} in organization {org}.")

    def _known(self, operation: str, cluster_name: str, org: str, key: str) -> HttpOperation:
        """Return the operation that a call began whose answer does not name it: its id follows from the key."""
        return self.operation(names.operation_workflow_id(operation, cluster_name, names.request_id_in(org, key)))


def _key(request_id: str | None) -> str:
    """Return the key of a call: one of its own where the caller gave none, so that its operation's id is known."""
    return checked(names.check_request_id, request_id) if request_id is not None else secrets.token_hex(8)
