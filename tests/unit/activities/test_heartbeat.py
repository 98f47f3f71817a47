"""Heartbeats: each is a call to Temporal, so waits that are short make none."""

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from activities import heartbeat
from model.errors import WorkerStops


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setattr(heartbeat, "LONG_INTERVAL_S", 0.01)
    return []


@pytest.fixture
def environment(beats: list[object]) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    return environment


async def test_wait_that_is_over_at_once_makes_no_heartbeat(environment: ActivityEnvironment, beats: list[object]):
    async def ended() -> str:
        return "ended"

    assert await environment.run(heartbeat.while_worker_runs, ended()) == "ended"
    assert not beats


async def test_wait_that_lasts_heartbeats(environment: ActivityEnvironment, beats: list[object]):
    async def until_it_beat() -> None:
        while len(beats) < 2:
            await asyncio.sleep(0.001)

    async with asyncio.timeout(5):
        await environment.run(heartbeat.while_worker_runs, until_it_beat())


async def test_wait_is_given_up_when_the_worker_stops(environment: ActivityEnvironment):
    environment.worker_shutdown()
    with pytest.raises(WorkerStops):
        async with asyncio.timeout(5):
            await environment.run(heartbeat.while_worker_runs, asyncio.Event().wait())
