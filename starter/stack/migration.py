"""From the embedded stack to the production stack on the same host: its clusters serve meanwhile.

Containers, volumes and passwords stay as they are. The embedded Temporal's histories do not come along: each cluster is
put on record anew, by adoption, with what its containers do not tell taken from the old record.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import tomli_w

from model.backups import BackupPolicy
from model.base import Record
from model.cluster import ClusterSpec, ClusterView
from model.cron import OFF
from model.errors import MpgError, Refused, StackDown
from model.names import DEFAULT_ORG
from model.private_files import put
from model.secrets import key_id
from model.settings import CONFIG_FILE, Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key
from starter.stack import embedded
from starter.stack.production import HOME, ProductionStack, settled_settings
from starter.stack.state import is_production, mark_moved, mark_own

Say = Callable[[str], None]
REST_SECONDS = 600.0
"""How long what is under way for a cluster is waited for."""
_POLL_SECONDS = 0.5

_FILES = ("master.key", "master.key.id", "ca.key", "ca.crt")
_DIRECTORIES = ("api", "audit")
_NAMED_FILES = {"plans_file": "plans.toml", "backup_s3_ca_file": "backup-s3-ca.pem"}
"""Settings that name a file of the host, and what it is called in the volume."""


class Moving(Record):
    """A cluster that is to be moved, and what its containers do not tell."""

    id: str
    name: str
    org: str
    policy: BackupPolicy | None = None


class Plan(Record):
    """What is moved: kept in a file until it is done, since the embedded stack can be asked no more by then."""

    clusters: tuple[Moving, ...]
    left: tuple[str, ...] = ()
    """What does not come along, a sentence each."""
    moved: tuple[str, ...] = ()
    handed_over: bool = False
    """Whether the production stack works for them by now, so that the embedded one may not come back."""


class PlanFile:
    """Where the plan is kept until it is done."""

    def __init__(self, home: Path) -> None:
        """Keep it in the state directory *home*."""
        self._path = home / "migration.json"

    def load(self) -> Plan | None:
        """Return the plan of a move that was cut off, if there is one."""
        return Plan.model_validate_json(self._path.read_bytes()) if self._path.exists() else None

    def keep(self, plan: Plan) -> None:
        """Keep *plan*."""
        put(self._path, plan.model_dump_json(indent=1).encode())

    def remove(self) -> None:
        """Keep none."""
        self._path.unlink(missing_ok=True)


class Moved(Record):
    """What was moved."""

    clusters: tuple[str, ...]
    left: tuple[str, ...]


async def migrate(settings: Settings, stack: ProductionStack, say: Say) -> Moved:
    """Move every cluster of the embedded stack of *settings* to *stack*; a move that was cut off goes on.

    Raises:
        Refused: it was moved already, the stack is another's, an operation does not end, or a cluster does not answer:
            nothing was changed. Or clusters could not be moved, which the sentence names: the others were.
        MpgError: it failed. Before the production stack was up the embedded stack is up again.
    """
    file = PlanFile(settings.home)
    plan = file.load()
    if plan is None and is_production(settings.home):
        raise Refused(f"The clusters of {settings.home} were moved already.", remedy="Say 'docker compose up'.")
    if settings.api_port == 0:
        raise Refused("The production stack has an API, and MPG_API_PORT is 0.", remedy="Set a port.")
    mine, its = key_id(read_master_key(settings.master_key_file)), stack.key_id()
    if its not in {"", mine}:
        raise Refused("The production stack has served with another master key.", remedy="Move to one of its own.")
    if plan is None or not plan.handed_over:
        if plan is not None:
            say("an earlier move was cut off: starting the embedded stack again")
            await _go_back(settings, stack, file)
        plan = await _hand_over(settings, stack, file, say)
    else:
        stack.up()
    return await _adopt(stack, plan, file, say)


async def _hand_over(settings: Settings, stack: ProductionStack, file: PlanFile, say: Say) -> Plan:
    """Stop the embedded stack, bring *stack* up in its place, and return what it has to take over.

    After a failure the embedded stack is up again, and *stack* is not.
    """
    plan = await _plan(settings, say)
    file.keep(plan)
    try:
        say("stopping the embedded stack; clusters go on")
        await embedded.stop(settings)
        mark_moved(settings.home)
        say("bringing the production stack up")
        stack.put(_files(settings))
        stack.up()
        plan = plan.model_copy(update={"handed_over": True})
        file.keep(plan)
    except BaseException as error:
        say(str(error) or "it was cut off")
        say("starting the embedded stack again")
        try:
            await _go_back(settings, stack, file)
        except MpgError as other:
            message = f"{error} Nor could the embedded stack be started again: {other.message}"
            raise StackDown(message, remedy=f"{other.remedy} Then say it again.".strip()) from error
        raise
    return plan


async def _go_back(settings: Settings, stack: ProductionStack, file: PlanFile) -> None:
    """Start the embedded stack in place of what there is of *stack*, which has its ports. Raises :class:`StackDown`."""
    stack.stop()
    mark_own(settings.home)
    await embedded.start_detached(settings)
    file.remove()


async def _plan(settings: Settings, say: Say) -> Plan:
    """Ask the embedded stack, once it has nothing under way.

    Raises:
        StackDown: it is not up.
        Refused: a cluster does not come to rest, or does not answer.
    """
    left = list[str]()
    async with MpgClient.connect(settings) as mpg:
        views = await _at_rest(mpg, say)
        answering = {view.state.spec.id for view in views}
        for found in await mpg.found_clusters(read=False):
            if found.id not in answering and found.known:
                raise Refused(f"Cluster {found.name} does not answer.", remedy=f"See: mpg status {found.name}")
            if not found.known:
                left.append(f"Cluster {found.name} ({found.id}), which is on no record: mpg adopt says more.")
        clusters = tuple(_moving(view.state.spec) for view in views)
        for org in sorted({DEFAULT_ORG, *settings.organizations, *(each.org for each in clusters)}):
            if hooks := await mpg.webhooks(org=org):
                left.append(f"{len(hooks)} webhooks of organization {org}: make them again with 'mpg webhooks create'.")
            kept = [each.name for each in await mpg.list_deleted(org=org) if each.restorable_until]
            if kept:
                left.append(f"Kept backups of destroyed clusters of organization {org}: {', '.join(kept)}.")
    left.append("The history of past operations.")
    return Plan(clusters=clusters, left=tuple(left))


def _moving(spec: ClusterSpec) -> Moving:
    return Moving(id=spec.id, name=spec.name, org=spec.org, policy=spec.backups.policy if spec.backups else None)


async def _at_rest(mpg: MpgClient, say: Say) -> list[ClusterView]:
    """Return all clusters once one look finds nothing under way for any. Raises :class:`Refused` after a while."""
    deadline, told = time.monotonic() + REST_SECONDS, set[str]()
    while True:
        views = await mpg.clusters_of_host()
        busy = {what: view for view in views if (what := _busy_with(view))}
        if not busy:
            return views
        for what in busy.keys() - told:
            say(f"waiting for the end of {what}")
        told |= busy.keys()
        if time.monotonic() > deadline:
            what, view = next(iter(busy.items()))
            remedy = "Wait for its end, or cancel it."
            raise Refused(f"Cluster {view.state.spec.name} is busy, with {what}.", remedy=remedy)
        await asyncio.sleep(_POLL_SECONDS)


def _busy_with(view: ClusterView) -> str | None:
    backups = view.state.status.backups
    if view.operation is not None:
        return view.operation.id
    return next((run.operation_id for run in (backups.running, backups.drill) if run is not None), None)


async def _adopt(stack: ProductionStack, plan: Plan, file: PlanFile, say: Say) -> Moved:
    """Have *stack* take over what *plan* has left; *file* is gone once that is nothing."""
    failed = list[Moving]()
    async with MpgClient.connect(stack.settings) as mpg:
        there = {found.id for found in await mpg.found_clusters(read=False)}
        for each in plan.clusters:
            if each.id not in there:
                gone = f"Cluster {each.name} ({each.id}): it has no containers on this host."
                plan = plan.model_copy(update={"left": (*plan.left, gone)})
                continue
            say(f"moving cluster {each.name}")
            try:
                await (await mpg.adopt_cluster(each.id)).result()
                if each.policy is not None:
                    await _keep_policy(mpg, each, each.policy)
            except StackDown:
                raise
            except MpgError as error:
                say(f"cluster {each.name} was not moved: {error}")
                failed.append(each)
            else:
                plan = plan.model_copy(update={"moved": (*plan.moved, each.name)})
    if failed:
        file.keep(plan.model_copy(update={"clusters": tuple(failed)}))
        raise Refused(
            f"Not moved: {', '.join(each.name for each in failed)}. Moved: {', '.join(plan.moved) or 'none'}.",
            remedy="The production stack is up. Mend what was said above, and say it again.",
        )
    file.remove()
    return Moved(clusters=plan.moved, left=plan.left)


async def _keep_policy(mpg: MpgClient, cluster: Moving, policy: BackupPolicy) -> None:
    operation = await mpg.set_backup_policy(
        cluster.id,
        org=cluster.org,
        full=policy.full,
        incr=policy.incr,
        keep_full=policy.keep_full,
        keep_days=policy.keep_days,
        drill=policy.drill or OFF,
    )
    await operation.result()


def _files(settings: Settings) -> dict[str, bytes]:
    """Return what both stacks need, by its path in the state directory."""
    home = settings.home
    chosen = [home / name for name in _FILES]
    for name in _DIRECTORIES:
        chosen += (home / name).rglob("*")
    found = {str(each.relative_to(home)): each.read_bytes() for each in chosen if each.is_file()}
    moved = {setting: path for setting in _NAMED_FILES if (path := getattr(settings, setting)) is not None}
    found |= {_NAMED_FILES[setting]: path.read_bytes() for setting, path in moved.items()}
    config = settled_settings(settings) | {setting: f"{HOME}/{_NAMED_FILES[setting]}" for setting in moved}
    return found | {CONFIG_FILE: tomli_w.dumps(config).encode()}
