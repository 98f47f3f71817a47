"""Making a backup for either of Fly's interfaces: answered once it is on record, so that a repeat is seen to be one."""

from datetime import UTC, datetime, timedelta

from model.backups import BackupRun, BackupType
from model.cluster import ClusterSpec
from starter.api.beginnings import Beginnings, on_record
from starter.api.call import Call
from starter.client.operation import Operation

REPEAT_WITHIN = timedelta(seconds=60)
"""A backup asked for again within this, without a key, is the client trying again."""
RECORD_SECONDS = 5.0
"""How long an answer waits for the backup to be on record; that takes about 100 ms."""


async def back_up(call: Call, beginnings: Beginnings, spec: ClusterSpec, type: BackupType) -> Operation:
    """Begin to make a backup. Raises :class:`Refused` while another one is made."""
    async with beginnings.alone("backup", spec.id):
        operation = await call.mpg.create_backup(spec.id, type, org=spec.org, request_id=call.request_id(spec.org))

        async def looked() -> BackupRun | None:
            view = await call.mpg.find(spec.id)
            running = view and view.state.status.backups.running
            return running if running and running.operation_id == operation.id else None

        await on_record(operation, looked, seconds=RECORD_SECONDS)
        return operation


async def repeated_backup(call: Call, spec: ClusterSpec, type: BackupType) -> Operation | None:
    """Return the backup that a first call with the same content began a moment ago, if one did."""
    running = (await call.view(spec.id)).state.status.backups.running
    if running is None or running.type is not type or datetime.now(UTC) - running.started_at > REPEAT_WITHIN:
        return None
    return call.mpg.operation(running.operation_id)
