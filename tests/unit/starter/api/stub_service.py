"""What answers behind the API's routes in tests without a stack: one cluster, and a record of what was asked for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx

from model.apps import App, Attachment
from model.backups import BackupType
from model.cluster import ClusterPhase, ClusterView, Database, Role, User
from model.effects import Extension, InstalledExtension
from model.errors import Cancelled, MpgError, NotFound, StackDown
from model.operations import (
    CreateClusterRequest,
    OperationOutcome,
    OperationRequest,
    OperationResult,
    RestoreClusterRequest,
    workflow_id,
)
from model.queries import StatementPlan
from model.settings import Settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.client.audit import AuditEntry
from starter.client.metric_shapes import MetricsRange, MetricsShape
from starter.client.shapes import BackupScheduleShape, BackupShape, OperationShape
from starter.tokens.keyring import Keyring
from starter.tokens.macaroon import Caveat, attenuate
from tests.unit.starter.dashboard.test_health import view

_SPEC = view().state.spec.model_copy(
    update={
        "users": (User(name="fly-user", role=Role.SCHEMA_ADMIN), User(name="app", role=Role.WRITER)),
        "databases": (Database(name="fly-db"),),
    }
)
KNOWN = view().model_copy(update={"state": view().state.model_copy(update={"spec": _SPEC})})
ID, NAME = KNOWN.state.spec.id, KNOWN.state.spec.name
GONE_ID = "z" * 16
_GONE_STATUS = KNOWN.state.status.model_copy(
    update={"phase": ClusterPhase.DESTROYED, "backups_kept_until": datetime.now(UTC) + timedelta(days=7)}
)
GONE = KNOWN.model_copy(
    update={
        "state": KNOWN.state.model_copy(
            update={"spec": _SPEC.model_copy(update={"id": GONE_ID, "name": "gone"}), "status": _GONE_STATUS}
        )
    }
)
RESULT = OperationResult(cluster_id=ID, message="It is done.")
BACKUP = BackupShape(
    id="20260301-000000F",
    status="completed",
    type=BackupType.FULL,
    start=KNOWN.state.spec.created_at,
    stop=KNOWN.state.spec.created_at,
)
SCHEDULE = BackupScheduleShape(
    full="0 1 * * 0", incr="0 1 * * 1-6", keep_full=2, keep_days=7, next_full=None, next_incr=None
)
EXTENSIONS = tuple(
    Extension(
        name=name,
        description="made up",
        docs_url="",
        default_version="1.8",
        is_system=system,
        installed=InstalledExtension(version="1.8", schema_name="public") if installed else None,
    )
    for name, system, installed in (("hstore", False, True), ("vector", False, False), ("plpgsql", True, True))
)


METRICS = MetricsShape(
    range=MetricsRange.HOUR, database=None, since=0, until=3600, step=20, times=(), charts=(), marks=(),
    unavailable="Prometheus does not answer.",
)  # fmt: skip


PLAN = StatementPlan(id="-42", user="app", database="fly-db", query="SELECT $1", plan="Result")


class StubOperation:
    """An operation that ends as it was told to at the third look."""

    def __init__(self, stub: "StubClient", operation_id: str, request: OperationRequest | None = None) -> None:
        self.id = operation_id
        self._stub = stub
        self._request = request

    async def organization(self) -> str:
        return "personal"

    def just_started(self) -> OperationShape:
        return OperationShape(id=self.id, type="ChangePlan", cluster_id=ID, status=OperationOutcome.RUNNING)

    async def describe(self) -> OperationShape:
        self._stub.looks += 1
        if self._stub.silent:
            raise StackDown("Temporal does not answer.")
        if self._stub.looks < 3:
            return self.just_started()
        ended: dict[str, object] = {"finished_at": KNOWN.state.spec.created_at, "status": OperationOutcome.DONE}
        if (error := self._stub.ends_with) is not None:
            cancelled = isinstance(error, Cancelled)
            ended["status"] = OperationOutcome.CANCELLED if cancelled else OperationOutcome.ROLLED_BACK
            ended["error"] = str(error)
        return self.just_started().model_copy(update=ended)

    async def result(self, *, patience_s: float = 0) -> OperationResult:
        if self._stub.ends_with is not None:
            raise self._stub.ends_with
        return RESULT

    async def first_request(self) -> OperationRequest:
        if self.id.startswith("create-cluster/"):
            return CreateClusterRequest(cluster_id=ID, name=NAME)
        return RestoreClusterRequest(cluster_id=ID, name=f"{NAME}-restored", source_id=ID, backup_id=BACKUP.id)

    async def cancel(self) -> None:
        self._stub.started.append(("cancel", self.id))


class StubClient:
    """Knows one cluster, and one that is gone; keeps what it is asked to start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: list[Any] = []
        self.refuses: MpgError | None = None
        self.ends_with: MpgError | None = None
        self.attached = False
        self.silent = False
        self.silent_once_started = False
        self.looks = 0

    def acting_as(self, actor: str) -> "StubClient":
        return self

    def note(self, *about: object) -> None:
        """Record nothing."""

    async def has_organization(self, slug: str) -> bool:
        return slug == "personal"

    async def organizations(self) -> list[str]:
        return ["personal"]

    async def clusters(self, *, org: str) -> list[ClusterView]:
        return [KNOWN]

    async def deleted_clusters(self, *, org: str) -> list[ClusterView]:
        return [GONE]

    async def ends_of_deleted(self, *, org: str) -> dict[str, datetime]:
        return {GONE_ID: KNOWN.state.spec.created_at}

    def _fall_silent(self) -> None:
        if self.silent_once_started and self.started:
            raise StackDown("Temporal does not answer.")

    async def find(self, cluster_id: str) -> ClusterView | None:
        self._fall_silent()
        return {ID: KNOWN, GONE_ID: GONE}.get(cluster_id)

    async def view(self, cluster: str, *, org: str) -> ClusterView:
        if cluster != NAME:
            raise NotFound(f"There is no cluster {cluster!r}.")
        return KNOWN

    async def extensions(self, cluster: str, database: str, *, org: str) -> tuple[Extension, ...]:
        self._fall_silent()
        return EXTENSIONS

    async def backups(self, cluster: str, *, org: str) -> tuple[BackupShape, ...]:
        return (BACKUP,)

    async def backup_schedule(self, cluster: str, *, org: str) -> BackupScheduleShape:
        return SCHEDULE

    async def metrics(self, cluster: str, *, range: MetricsRange, database: str | None, org: str) -> MetricsShape:
        if database == "none":
            raise NotFound(f"Cluster {NAME} has no database 'none'.")
        return METRICS.model_copy(update={"range": range, "database": database})

    async def statement_plan(
        self, cluster: str, statement: str, *, database: str | None, user: str | None, org: str
    ) -> StatementPlan:
        if database == "none":
            raise NotFound(f"There is no statement {statement} of none among those that Postgres has counted.")
        return PLAN.model_copy(update={"id": statement, "user": user or PLAN.user})

    async def connection_uri(self, cluster: str, *, user: str, database: str, kind: str, org: str) -> str:
        return f"postgresql://{user}@{kind}/{database}"

    async def audit(self, *, org: str, **bounds: object) -> list[AuditEntry]:
        entry = AuditEntry(
            at=KNOWN.state.spec.created_at, actor="cli/amy", action="Restart", organization=org, cluster_id=ID,
            cluster=NAME, outcome="done",
        )  # fmt: skip
        return [entry]

    async def attach_app(self, cluster: str, app: str, *, org: str, request_id: str | None) -> Attachment:
        made, self.attached = not self.attached, True
        return Attachment(app=App(id=1, name=app, attached_at=KNOWN.state.spec.created_at), made=made)

    async def detach_app(self, cluster: str, app: str, *, org: str, request_id: str | None) -> None:
        self.started.append(("detach_app", app))

    async def operations_of(self, cluster_id: str, *, org: str, limit: int) -> list[OperationShape]:
        return [self.operation(f"change-plan/{NAME}/{number}").just_started() for number in range(limit)]

    async def retryable(self, operation_id: str) -> tuple[OperationRequest, str]:
        return CreateClusterRequest(cluster_id=ID, name=NAME), "personal"

    async def start(self, request: OperationRequest, *, org: str, request_id: str | None) -> StubOperation:
        if self.refuses is not None:
            raise self.refuses
        self.started.append((request, request_id))
        return StubOperation(self, workflow_id(request, NAME, request_id or "drawn"), request)

    def operation(self, operation_id: str) -> StubOperation:
        return StubOperation(self, operation_id)

    def __getattr__(self, name: str) -> Any:
        """Stand for every method that starts one kind of operation."""

        async def start(*arguments: object, **keywords: object) -> StubOperation:
            if self.refuses is not None:
                raise self.refuses
            self.started.append((name, *arguments, {k: v for k, v in keywords.items() if v is not None}))
            return self.operation(f"{name.replace('_', '-')}/{NAME}/{keywords.get('request_id') or 'drawn'}")

        return start


def service(stub: StubClient | MpgClient, home: Path, *caveats: Caveat) -> httpx.AsyncClient:
    """Return a client of the real API over *stub*, with a token for everything that *caveats* leave."""
    keyring = Keyring(home / "api")
    keyring.prepare()
    token = attenuate(keyring.text(keyring.issue()), caveats)
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(make_app(cast(MpgClient, stub), keyring))
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)
