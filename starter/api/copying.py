"""Making a cluster from another one's backups, for either of Fly's interfaces: answered once it is on record."""

from typing import NamedTuple

from pydantic import Field, model_validator

from model.cluster import ClusterView, Durability, PoolMode
from model.operations import RestoreClusterRequest
from model.restore import name_of_copy
from starter.api.beginnings import on_record
from starter.api.call import Call
from starter.api.errors import ApiError, after_acceptance, answered
from starter.api.operating import Body
from starter.client.operation import Operation

RECORD_SECONDS = 20.0
"""How long an answer waits for the new cluster to be on record. What can be restored is looked up first, in seconds."""


class Moment(Body):
    """Which moment is restored, and what the new cluster is called."""

    backup_id: str | None = Field(None, description="The end of that backup.")
    pitr_time: str | None = Field(None, description="RFC 3339, with an offset.")
    lsn: str | None = Field(None, description="A position in WAL.")
    latest: bool = Field(False, description="The last moment that was archived.")
    name: str | None = None
    plan: str | None = Field(None, description="This and what follows are by default as the source has it.")
    storage_in_gb: int | None = None
    pool_mode: PoolMode | None = None
    durability: Durability | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Moment":
        if sum(each is not None for each in (self.backup_id, self.pitr_time, self.lsn, self.latest or None)) != 1:
            raise ValueError("Say one of backup_id, pitr_time, lsn and latest: which moment is restored.")
        return self


class Copy(NamedTuple):
    """A copy that was begun: its id and name, and what is on record of it where anything is."""

    cluster_id: str
    name: str
    view: ClusterView | None


async def restore(call: Call, source: ClusterView, moment: Moment) -> Copy:
    """Begin to restore. Answers 404 for a backup that is not there, and 422 for a moment outside of the window."""
    spec = source.state.spec
    _require_leave(call, spec.org)
    operation = await call.mpg.restore_cluster(
        spec.id,
        backup_id=moment.backup_id,
        pitr_time=moment.pitr_time,
        lsn=moment.lsn,
        latest=moment.latest,
        plan=moment.plan and moment.plan.lower(),
        storage_gb=moment.storage_in_gb,
        pool_mode=moment.pool_mode,
        durability=moment.durability,
        name=moment.name or name_of_copy(spec.name, "restored"),
        org=spec.org,
        request_id=call.request_id(spec.org),
    )
    with answered(Refused=422):
        return await _on_record(call, operation)


async def fork(call: Call, source: ClusterView, name: str | None) -> Copy:
    """Begin to copy a cluster as it is now. Answers 409 where it is not ready."""
    spec = source.state.spec
    _require_leave(call, spec.org)
    operation = await call.mpg.fork_cluster(spec.id, name=name, org=spec.org, request_id=call.request_id(spec.org))
    with answered(Refused=422):
        return await _on_record(call, operation)


def _require_leave(call: Call, org: str) -> None:
    if not call.caller.may_create(org):
        raise ApiError(403, "This token is for one cluster and cannot make others.")


async def _on_record(call: Call, operation: Operation) -> Copy:
    """Wait for the record or for the failure, whichever is first."""
    with after_acceptance(operation.id):
        request = await operation.first_request()
    assert isinstance(request, RestoreClusterRequest)
    view = await on_record(operation, lambda: call.mpg.find(request.cluster_id), seconds=RECORD_SECONDS)
    return Copy(request.cluster_id, request.name, view)
