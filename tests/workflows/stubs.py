"""Stub activities, made from the contract: they record what was asked and answer what a healthy cluster would."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from activities.operations import OperationActivities
from activities.scheduling import ScheduleActivities
from activities.webhooks.beginning import BeginningActivities
from model import effects
from model.adoption import Access, AdoptionReading, Catalog, FoundClusters
from model.backups import BackupType, RepositoryContents
from model.base import Record
from model.cluster import NodePhase, NodeRole
from model.effects import EFFECTS, Bootstrap, Effect, Rejoin
from model.errors import MpgError, Refused
from model.plans import DEFAULT_PLANS, HostCapacity, Resources, find_plan
from model.poolers import plan_generation
from model.restore import Source
from model.webhook_book import Attempt
from tests.workflows import samples

REAL = frozenset(
    {
        effects.TAKE_TURN.name,
        effects.AWAIT_OPERATION_END.name,
        effects.RELEASE_STALE_NAME.name,
        effects.BEGIN_BACKUP.name,
        effects.BEGIN_DRILL.name,
        effects.TELL_WEBHOOKS.name,
        effects.AWAIT_ENDS.name,
    }
)
"""Effects on Temporal itself: the tests run the real activities."""


@dataclass(frozen=True)
class Call:
    """One attempt of an effect: of which workflow, as which of its activities, and in short what was asked."""

    workflow_id: str
    activity_id: str
    effect: str
    text: str
    arg: Record


Behaviour = Callable[[Call], Awaitable[object]]


@dataclass
class Stubs:
    """What the stubs were asked, and what they do other than answering well."""

    real: OperationActivities | None = None
    """What reports facts to the cluster's workflow."""
    scheduling: ScheduleActivities | None = None
    """What tells it of backups."""
    beginning: BeginningActivities | None = None
    """What begins deliveries, unless a test has another answer to that."""
    calls: list[Call] = field(default_factory=list[Call])
    _planned: dict[tuple[str, int], Behaviour] = field(default_factory=dict[tuple[str, int], Behaviour])
    _seen: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, Record] = field(default_factory=dict[str, Record])
    """Effect to what it answers instead of what a healthy cluster would."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _alarms: dict[str, asyncio.Queue[effects.Alarm]] = field(default_factory=lambda: defaultdict(asyncio.Queue))

    def alarm(self, cluster_id: str, alarm: effects.Alarm) -> None:
        """Have the watch of a cluster return *alarm*."""
        self._alarms[cluster_id].put_nowait(alarm)

    async def watch(self, arg: effects.WatchInput) -> effects.Alarm:
        """A watch that sees nothing until the test says so."""
        alarms = self._alarms[arg.cluster_id]
        while alarms.empty():
            activity.heartbeat()
            await asyncio.sleep(0.05)
        return alarms.get_nowait()

    def reset(self) -> None:
        """Forget everything, and let go what hangs."""
        self.released.set()
        self.calls, self._planned, self._seen, self.answers = [], {}, defaultdict(list), {}
        self.released = asyncio.Event()

    def plan(self, text: str, behaviour: Behaviour, occurrence: int = 1) -> None:
        """Do *behaviour* when what *text* says is asked for the *occurrence*-th time (retries are not counted)."""
        self._planned[text, occurrence] = behaviour

    @property
    def effects(self) -> list[Call]:
        """The calls without those that only reported facts."""
        return [call for call in self.calls if call.effect != effects.COMMIT_FACTS.name]

    def texts(self, workflow_id: str) -> list[str]:
        """What *workflow_id* asked for, in order, retries included."""
        return [call.text for call in self.calls if call.workflow_id == workflow_id]

    async def run(self, effect: Effect[Any, Any], arg: Record) -> object:
        info = activity.info()
        text = describe(effect.name, arg)
        call = Call(info.workflow_id or "", info.activity_id, effect.name, text, arg)
        self.calls.append(call)
        key = (call.workflow_id, call.activity_id)
        if key not in self._seen[text]:
            self._seen[text].append(key)
        behaviour = self._planned.get((text, self._seen[text].index(key) + 1))
        if behaviour is not None:
            await behaviour(call)
        if isinstance(arg, effects.CommitInput):
            assert self.real is not None
            return await self.real.commit_facts(arg)
        if isinstance(arg, effects.NoteBackupInput):
            assert self.scheduling is not None
            return await self.scheduling.note_backup(arg)
        if isinstance(arg, effects.NoteDrillInput):
            assert self.scheduling is not None
            return await self.scheduling.note_drill(arg)
        if isinstance(arg, effects.BeginDeliveriesInput) and effect.name not in self.answers:
            assert self.beginning is not None
            return await self.beginning.begin_deliveries(arg)
        return self.answers.get(effect.name) or answer(effect.name, arg)

    def activities(self, *, host: bool) -> list[Callable[..., object]]:
        """The stubs of the effects that run on a host's queue, or of the others."""
        return [
            self._stub(effect)
            for effect in EFFECTS
            if effect.name not in REAL and (effect.kind in effects.HOST_KINDS) == host
        ]

    def _stub(self, effect: Effect[Any, Any]) -> Callable[..., object]:
        async def stub(arg: Record) -> object:
            if isinstance(arg, effects.WatchInput):
                return await self.watch(arg)
            return await self.run(effect, arg)

        stub.__annotations__ = {"arg": effect.input, "return": effect.output}
        return activity.defn(name=effect.name)(stub)


def fails(error: MpgError | None = None) -> Behaviour:
    """Fail for good."""

    async def behaviour(call: Call) -> None:
        raise error or Refused(f"No {call.text} today.")

    return behaviour


def fails_times(times: int) -> Behaviour:
    """Fail so that a retry helps, this many times."""
    left = [times]

    async def behaviour(call: Call) -> None:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("a moment, please")

    return behaviour


def hangs(stubs: Stubs, started: asyncio.Event) -> Behaviour:
    """Say that it started, then last until cancelled or released."""

    async def behaviour(call: Call) -> None:
        released = stubs.released
        started.set()
        while not released.is_set():
            activity.heartbeat()
            await asyncio.sleep(0.02)

    return behaviour


# --- words ----------------------------------------------------------------------------------------------------------


def describe(name: str, arg: Record) -> str:
    """One line about an effect that tells it from the others of its operation."""
    words = _WORDS.get(name, _nothing)(arg)
    return f"{name.removesuffix('_facts')} {words}".strip()


def _nothing(arg: Any) -> str:
    return ""


def _ensured(arg: effects.EnsureNodeInput) -> str:
    spec = arg.spec
    how = "" if arg.rejoin is Rejoin.REWIND else f" {arg.rejoin}"
    return f"{spec.name} {spec.role} {arg.bootstrap} plan={spec.plan} follows={_node_at(spec.primary_address)}{how}"


def _route(arg: effects.RouteInput) -> str:
    ports = "+".join(map(str, arg.pooler_ports))
    return f"pooled={ports} direct={_node_at(arg.direct)} read_only={_node_at(arg.read_only)}"


def _node_at(address: str | None) -> str:
    return {"10.213.0.3": "a", "10.213.0.4": "b", None: "-"}[address]


def _committed(arg: effects.CommitInput) -> str:
    return ", ".join(_fact(fact.model_dump(mode="json")) for fact in arg.commit.facts)


def _put(arg: effects.PutSchedulesInput) -> str:
    at_once = f" and one {arg.at_once} at once" if arg.at_once else ""
    return f"full='{arg.policy.full}' incr='{arg.policy.incr}'{at_once}"


def _note(arg: effects.NoteBackupInput) -> str:
    failed = "" if arg.note.failure is None else f"failed {arg.note.failure.type}"
    return " ".join([*(made.type for made in arg.note.made), failed]).strip()


def _backed_up(arg: effects.TakeBackupInput) -> str:
    return f"{arg.type} from {arg.replica.name if arg.replica else arg.primary.name}"


def _proved(arg: effects.NoteDrillInput) -> str:
    proof = arg.note.proof
    return "nothing" if proof is None else f"{proof.backup_id} {'failed' if proof.fault else 'proven'}"


_WORDS: dict[str, Callable[[Any], str]] = {
    "ensure_repository": lambda arg: f"of {arg.primary.name}",
    "take_backup": _backed_up,
    "expire_backups": lambda arg: f"keep={arg.policy.keep_full}",
    "note_backup": _note,
    "sample_rows": lambda arg: f"of {arg.primary.name} for {arg.backup_id}",
    "drill_backup": lambda arg: arg.backup_id + (" to the end" if arg.to_end else ""),
    "note_drill": _proved,
    "put_schedules": _put,
    "commit_facts": _committed,
    "ensure_access": lambda arg: "with a new key" if arg.new_key else "",
    "read_catalog": lambda arg: f"of {_node_at(arg.address)}",
    "check_host": lambda arg: arg.plan,
    "ensure_node": _ensured,
    "restart_node": lambda arg: arg.node.name,
    "release_commits": lambda arg: f"on={_node_at(arg.address)}",
    "drain_node": lambda arg: f"{arg.node.name} for {arg.timeout_s:g}s",
    "fence_node": lambda arg: arg.name,
    "remove_node": lambda arg: arg.name,
    "examine_data": lambda arg: arg.name,
    "discard_former": lambda arg: arg.name,
    "require_writes": lambda arg: _node_at(arg.address),
    "fail_over": lambda arg: f"to={arg.target}",
    "require_lost": lambda arg: arg.node.name,
    "read_position": lambda arg: arg.node.name,
    "close_archive_gap": lambda arg: f"of {arg.primary.name}",
    "create_poolers": lambda arg: f"generation={arg.generation} {arg.pool_mode}",
    "remove_poolers": lambda arg: " ".join(pooler.name for pooler in arg.poolers),
    "drain_poolers": lambda arg: " ".join(pooler.name for pooler in arg.poolers),
    "configure_poolers": lambda arg: f"plan={arg.plan.name} primary={_node_at(arg.primary_address)}",
    "set_routes": _route,
    "set_allow_list": lambda arg: " ".join(arg.networks) or "everywhere",
    "note_durability": lambda arg: str(arg.durability),
    "set_tls": lambda arg: f"{arg.tls} on={len(arg.nodes)}+{len(arg.poolers)}",
    "switch_primary": lambda arg: f"to={arg.target}",
    "set_synchronous": lambda arg: f"on={_node_at(arg.target.address)} standby={arg.standby}",
    "await_caught_up": lambda arg: f"{arg.replica.name} behind {arg.primary.name} for {arg.timeout_s:g}s",
    "begin_reading": lambda arg: arg.reading.backup_id or "to choose one",
    "restore_data": lambda arg: f"{arg.spec.name} from {arg.point.backup_id} {arg.point.type}",
    "archive_now": lambda arg: f"{arg.primary.name} for {arg.timeout_s:g}s",
    "renew_passwords": lambda arg: f"on={_node_at(arg.target.address)}",
    "create_user": lambda arg: f"{arg.user.name} {arg.user.role}",
    "set_user_role": lambda arg: f"{arg.user.name} {arg.user.role}",
    "set_password": lambda arg: f"{arg.user.name} version={arg.user.password_version}",
    "drop_user": lambda arg: arg.username,
    "create_database": lambda arg: arg.database.name,
    "drop_database": lambda arg: f"{arg.database} force={arg.force}",
    "read_extensions": lambda arg: arg.database,
    "enable_extension": lambda arg: f"{arg.database} {arg.extension}",
    "disable_extension": lambda arg: f"{arg.database} {arg.extension}",
    "reconcile_record": lambda arg: f"user={arg.username} database={arg.database} undone={arg.undone}",
    "check_disk": lambda arg: f"for {arg.storage_gb} GB",
    "note_storage": lambda arg: f"on={_node_at(arg.target.address)} {arg.storage_gb} GB",
    "set_read_only": lambda arg: f"on={_node_at(arg.target.address)} {arg.read_only}",
    "set_connection_limits": lambda arg: f"{' '.join(arg.usernames)} {arg.connection_limit}",
}


def _fact(fact: dict[str, object]) -> str:
    kind = fact.pop("kind")
    words = [_short(name, value) for name, value in fact.items()]
    return " ".join([str(kind), *(word for word in words if word)])


def _short(name: str, value: object) -> str:
    match value:
        case str() if name == "until":
            return ""
        case None | str() if name == "since":
            return ""
        case {"role": role, "plan": plan, "name": node}:
            return f"{node} {role} plan={plan}"
        case {"name": named}:
            return str(named)
        case [{"phase": _}, *_]:
            return " ".join(f"{pooler['name']}:{pooler['phase']}" for pooler in value)
        case dict() | list():
            return ""
        case _:
            return f"{name}={value}"


# --- answers --------------------------------------------------------------------------------------------------------


def answer(name: str, arg: Any) -> Record:
    """What a healthy host and a healthy Postgres answer."""
    return _ANSWERS.get(name, lambda _: effects.Nothing())(arg)


def _room(arg: effects.CheckHostInput) -> effects.HostCheck:
    plan = find_plan(DEFAULT_PLANS, arg.plan)
    return effects.HostCheck(
        plan=plan,
        resources=Resources(cpus=plan.cpus, memory_mb=plan.memory_mb),
        capacity=HostCapacity(cpus=64, memory_mb=2**20),
        image=arg.image or f"mpg-node:{arg.pg_major_version}{'-postgis' if arg.postgis else ''}",
        backups=samples.BACKUPS,
    )


def _node(arg: effects.EnsureNodeInput) -> Record:
    made = samples.node(arg.spec.cluster_id, arg.spec.name, NodeRole(arg.spec.role), arg.spec.plan)
    assert (arg.bootstrap in {Bootstrap.INIT, Bootstrap.KEEP} and arg.spec.role is NodeRole.PRIMARY) == (
        arg.spec.primary_address is None
    )
    return made


def _generation(arg: effects.CreatePoolersInput) -> effects.Poolers:
    return effects.Poolers(poolers=plan_generation(arg.cluster_id, arg.generation, arg.pool_mode, arg.living))


def _extensions(arg: effects.ReadExtensionsInput) -> effects.Extensions:
    def one(name: str, installed: bool) -> effects.Extension:
        how = effects.InstalledExtension(version="1", schema_name="public") if installed else None
        return effects.Extension(
            name=name, description="", docs_url="", default_version="1", is_system=False, installed=how
        )

    return effects.Extensions(extensions=(one(samples.INSTALLED, True), one("hstore", False)))


def _catalog(arg: effects.Target) -> Catalog:
    spec = samples.ready_cluster(cluster_id=arg.cluster_id).spec
    return Catalog(users=spec.users, databases=spec.databases, legacy_roles=False)


_ANSWERS: dict[str, Callable[[Any], Record]] = {
    "deliver_message": lambda arg: Attempt(at=samples.MADE_AT, status=200),
    "take_backup": lambda arg: samples.backup(arg.type, arg.request_id),
    "drill_backup": lambda arg: samples.REPORT,
    "expire_backups": lambda arg: RepositoryContents(backups=(samples.backup(BackupType.FULL),)),
    "read_repository": lambda arg: RepositoryContents(backups=(samples.backup(BackupType.FULL),)),
    "read_archiving": lambda arg: effects.Archiving(),
    "read_source": lambda arg: Source(state=samples.backed_up(samples.ready_cluster(cluster_id=arg.cluster_id))),
    "archive_now": lambda arg: effects.ArchivedTo(at=samples.ARCHIVED_TO),
    "restore_data": lambda arg: effects.Restored(timeline=2),
    "find_clusters": lambda arg: FoundClusters(clusters=()),
    "read_cluster": lambda arg: AdoptionReading(state=samples.as_labelled(arg.cluster_id, arg.name)),
    "ensure_access": lambda arg: Access(renewed=arg.new_key),
    "read_catalog": _catalog,
    "check_host": _room,
    "create_network": lambda arg: samples.NETWORK,
    "create_endpoint": lambda arg: samples.endpoint(arg.cluster_id),
    "ensure_node": _node,
    "restart_node": lambda arg: arg.node.model_copy(update={"phase": NodePhase.RUNNING}),
    "create_poolers": _generation,
    "switch_primary": lambda arg: effects.SwitchoverReport(timeline=2, paused_ms=80.0, steps_ms={}),
    "fail_over": lambda arg: effects.FailoverReport(timeline=2, held_ms=80.0, steps_ms={}),
    "require_lost": lambda arg: effects.LostPrimary(checkpoint="0/5000028", timeline=1),
    "read_position": lambda arg: effects.StandbyPosition(lsn="0/4F00000", timeline=1),
    "observe_cluster": lambda arg: effects.Observation(facts=()),
    "settle_cluster": lambda arg: effects.Observation(facts=()),
    "reconcile_record": lambda arg: effects.Observation(facts=()),
    "read_extensions": _extensions,
    "await_caught_up": lambda arg: effects.ReplicaCaughtUp(timeline=1, lag_bytes=0),
    "close_archive_gap": lambda arg: effects.GapReport(),
}
