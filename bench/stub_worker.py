"""A worker whose activities answer at once what a healthy cluster would: what is left is the orchestrator's cost.

Run as a stack's worker (setting ``worker_module``). What the cluster asks of Temporal itself is real.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import activity

import worker
from activities.heartbeat import WATCH_INTERVAL_S, while_worker_runs
from activities.operations import OperationActivities
from activities.registry import Activities
from activities.webhooks.beginning import BeginningActivities
from activities.webhooks.delivery import DeliveryActivities
from activities.webhooks.happenings import HappeningActivities
from bench.stub_cluster import stub_node
from model import effects
from model.effects import EFFECTS, HOST_KINDS, Effect, Kind
from model.master_key import load_or_create_master_key
from model.settings import load_settings

REAL = frozenset(
    effect.name
    for effect in (
        effects.TAKE_TURN,
        effects.COMMIT_FACTS,
        effects.AWAIT_OPERATION_END,
        effects.RELEASE_STALE_NAME,
        effects.TELL_WEBHOOKS,
        effects.AWAIT_ENDS,
        effects.BEGIN_DELIVERIES,
        effects.DELIVER_MESSAGE,
    )
)


Answers = Callable[[Effect[Any, Any], Any], object]


def answer(effect: Effect[Any, Any], arg: Any) -> object:
    """Return what a healthy cluster would answer."""
    match effect.name:
        case effects.AWAIT_CAUGHT_UP.name:
            return effects.ReplicaCaughtUp(timeline=1, lag_bytes=0)
        case effects.SWITCH_PRIMARY.name:
            return effects.SwitchoverReport(timeline=2, paused_ms=0, steps_ms={})
        case effects.ENSURE_NODE.name:
            return stub_node(arg.spec.name, arg.spec.role)
        case effects.CREATE_USER.name | effects.SET_PASSWORD.name:
            return effects.PasswordIs(version=1)
        case _ if effect.output is effects.Nothing:
            return effects.Nothing()
        case _:
            raise NotImplementedError(f"The stub has no answer to {effect.name}.")


async def never() -> object:
    """Watch a cluster that stays healthy: only the heartbeats of it are real."""
    return await while_worker_runs(asyncio.Event().wait(), WATCH_INTERVAL_S)


def stub(effect: Effect[Any, Any], answers: Answers) -> Callable[..., object]:
    """Return an activity that implements *effect* by *answers*."""

    async def run(arg: Any) -> object:
        if effect.kind is Kind.WATCH_HOST:
            return await never()
        return answers(effect, arg)

    run.__annotations__ = {"arg": effect.input, "return": effect.output}
    return activity.defn(name=effect.name)(run)


async def serve(answers: Answers = answer) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load_settings()
    client = await worker.connect(settings)
    real = (
        OperationActivities(client),
        HappeningActivities(client),
        BeginningActivities(client),
        DeliveryActivities(client, settings, load_or_create_master_key(settings.master_key_file)),
    )
    stubs = {effect: stub(effect, answers) for effect in EFFECTS if effect.name not in REAL}
    activities = Activities(
        main=[
            *(run for effect, run in stubs.items() if effect.kind not in HOST_KINDS),
            *(getattr(each, name) for each in real for name in REAL if hasattr(each, name)),
        ],
        host=[run for effect, run in stubs.items() if effect.kind in HOST_KINDS],
    )
    stop = worker.stop_signal()
    async with worker.serving(client, settings, activities):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve())
