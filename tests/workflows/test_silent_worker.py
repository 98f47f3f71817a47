"""What callers of the API hear when Temporal answers and no worker does: a status within seconds, never silence."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from model.errors import StackDown
from model.master_key import load_or_create_master_key
from model.settings import load_settings
from starter.client import MpgClient, updates
from tests.unit.starter.api.stub_service import service
from tests.workflows.bench import Bench
from tests.workflows.samples import ready_cluster
from tests.workflows.server import serving, started_temporal
from tests.workflows.stubs import Stubs, hangs

SOON_S = 20.0
WEBHOOKS = "/api/v1/organizations/personal/webhooks"


@pytest.fixture
async def own_temporal() -> AsyncIterator[Client]:
    """A Temporal service whose worker may end before it."""
    async with started_temporal() as client:
        yield client


async def test_without_a_worker_reads_are_503_and_changes_504(
    own_temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "TAKEN_UP", timedelta(seconds=2))
    settings = load_settings(home=tmp_path, webhook_private_networks="127.0.0.0/8", webhook_plain_http=True)
    load_or_create_master_key(settings.master_key_file)
    async with service(MpgClient(own_temporal, settings).keeping_views(), tmp_path) as http:

        async def status(method: str, path: str, body: object = None) -> int:
            async with asyncio.timeout(SOON_S):
                return (await http.request(method, path, json=body)).status_code

        async with serving(own_temporal) as stubs:
            state = ready_cluster()
            # Nobody watches it, so that nothing happens to its workflow when the worker ends.
            spec = state.spec.model_copy(update={"host": "lost"})
            await Bench(own_temporal, stubs).cluster(state.model_copy(update={"spec": spec}))
            at = f"/api/v1/postgresv2/{spec.id}"
            made = await http.post(WEBHOOKS, json={"url": "http://127.0.0.1:9/"})
            webhook = f"{WEBHOOKS}/{made.json()['data']['webhook']['id']}"
            assert await status("GET", f"{at}/databases/fly-db/extensions") == 200
            assert await status("GET", at) == 200, "the view is kept from now on"
        assert await status("GET", at) == 200
        assert await status("GET", f"{at}/databases/fly-db/extensions") == 503
        assert await status("POST", f"{at}/attachments", {"app_name": "web"}) == 504
        assert await status("DELETE", f"{at}/attachments/web") == 504
        assert await status("POST", f"{webhook}/test") == 503, "nothing was begun"
        assert await status("DELETE", webhook) == 503


async def test_read_without_an_end_is_given_up_and_one_that_is_cancelled_is_cancelled(
    bench: Bench, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpg = MpgClient(bench.client, load_settings(home=tmp_path))
    state = ready_cluster()
    await bench.cluster(state)
    reading = asyncio.Event()
    stubs.plan("read_extensions fly-db", hangs(stubs, reading))
    asked = asyncio.create_task(mpg.extensions(state.spec.id, "fly-db"))
    async with asyncio.timeout(SOON_S):
        await reading.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        monkeypatch.setattr(updates, "ANSWERED_S", 0.5)
        with pytest.raises(StackDown, match="worker"):
            await mpg.extensions(state.spec.id, "fly-db")
