"""The HTTP API: reads and changes at a fixed rate, what open streams weigh, and how soon an event is on them.

Activities are stubs: what is left is the API's process, Temporal and the workflows. The floor is an application of
FastAPI and uvicorn that answers the same from memory.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from bench import api_load, api_streams
from bench.api_load import Answers, Call, Stream
from bench.api_streams import AllHeard
from bench.client_process import client_process
from bench.memory import cpu_s, rss_mb
from bench.report import Target, at_most
from bench.run import Run
from bench.stub_cluster import start_clusters
from bench.workspace import REPOSITORY, await_port, say
from model.cluster import Role
from model.names import DEFAULT_ORG
from model.settings import Settings
from starter.client import MpgClient
from starter.client.temporal import connect
from starter.stack import embedded as stack
from starter.stack.parts import API
from starter.tokens.keyring import Keyring

SECTION = "api"
READS_PER_S, CHANGES_PER_S = 200, 20
STREAMS = 500
USER = "app"
_ORGANIZATION = f"/api/v1/organizations/{DEFAULT_ORG}"
_END_S = 120
_BETWEEN_S = 0.5
"""From the end of a change to the next one: what is measured is how soon one is seen, not how many are."""
READ, CHANGE = "read", "change"


async def measure(run: Run) -> None:
    """Load, then streams, each beside the floor."""
    async with run.stack("api", worker_module="bench.stub_worker") as (mpg, settings), _floor(run) as floor:
        clusters = await start_clusters(await connect(settings), run.count(4, 40))
        await asyncio.gather(*(mpg.view(each) for each in clusters))
        for each in clusters:
            await (await mpg.create_user(each, USER, Role.READER)).result()
        measured = _Measured(run, mpg, settings, clusters, floor)
        await measured.load()
        for streams in (1, run.count(20, STREAMS)):
            await measured.streams(streams)


class _Measured:
    """The measures of one API process. *floor* is the port and the process of the floor."""

    def __init__(
        self, run: Run, mpg: MpgClient, settings: Settings, clusters: Sequence[str], floor: tuple[int, int]
    ) -> None:
        self.run, self.mpg, self.settings, self.clusters = run, mpg, settings, clusters
        self._row = partial(run.record, SECTION)
        self.floor_port, self.floor_pid = floor
        keyring = Keyring(settings.api_dir)
        self.token = keyring.text(keyring.issue())

    async def load(self) -> None:
        """Reads alone, then reads beside changes, then reads of the floor."""
        reads, changes = self._reads(), self._changes()
        alone = await self._sent("reads alone", self.settings.api_port, reads)
        both = await self._sent("reads and changes", self.settings.api_port, reads, changes)
        bare = await self._sent("floor", self.floor_port, _bare_reads())
        floor = _waits(bare, READ)
        self._load_rows(f"{READS_PER_S} reads a second", alone, floor, at_most(median=15, p95=100))
        beside = f"{READS_PER_S} reads and {CHANGES_PER_S} changes a second"
        self._load_rows(beside, both, floor, at_most(p95=100))
        self._row(f"{beside}: change", "ms", _waits(both, CHANGE), targets=at_most(p95=250))
        failed = [each for found in (alone, both) for each in found.answers if not 200 <= each.status < 300]
        self._row("… answered with an error, or not sent in time", "calls", [len(failed) + alone.behind + both.behind],
                  targets=at_most(worst=0))  # fmt: skip
        for each in failed[:3]:
            self.run.remark(f"A {each.name} was answered {each.status}: {each.said}")

    async def streams(self, count: int) -> None:
        """Have *count* streams open, and operations begin and end one after the other."""
        weighs = rss_mb([await self._api()])
        async with self._listening(self.settings.api_port, f"{_ORGANIZATION}/events", count) as process:
            opened = rss_mb([await self._api()])
            for number in range(self.run.count(2, 50)):
                cluster = self.clusters[number % len(self.clusters)]
                role = (Role.WRITER, Role.READER)[number // len(self.clusters) % 2]
                await (await self.mpg.set_user_role(cluster, USER, role)).result()
                await asyncio.sleep(_BETWEEN_S)
            await asyncio.sleep(1)  # for what is still on its way: it counts as late, not as lost
            most = max(opened, rss_mb([await self._api()]))
            heard = AllHeard.model_validate_json(await process.finish(_END_S))
        self._stream_rows(count, heard)
        if count > 1:
            self._row(f"{count} open streams: the API's process, resident", "MB", [most],
                      floor=[await self._bare_streams(count)], targets=at_most(worst=200))  # fmt: skip
            self._row(f"{count} open streams: … more than before", "MB", [most - weighs])

    def _stream_rows(self, count: int, heard: AllHeard) -> None:
        which = "fact to its arrival" if count == 1 else "fact to its arrival on the last stream"
        late = [(each.last - each.fact) * 1000 for each in heard.events]
        opened = f"{count} open stream{'s' if count > 1 else ''}"
        self._row(f"{opened}: {which}", "ms", late, targets=at_most(p95=300))
        missing = sum(each.streams != count for each in heard.events)
        self._row(f"{opened}: events that were not on each, streams that ended", "count", [missing + heard.ended],
                  targets=at_most(worst=0))  # fmt: skip

    async def _bare_streams(self, count: int) -> float:
        async with self._listening(self.floor_port, "/events", count) as process:
            weighs = rss_mb([self.floor_pid])
            await process.finish(_END_S)
        return weighs

    def _listening(self, port: int, path: str, count: int):
        orders = api_streams.Orders(port=port, token=self.token, path=path, streams=count)
        return client_process(api_streams.__name__, orders)

    async def _sent(self, what: str, port: int, *streams: Stream) -> Answers:
        say(f"{SECTION}: {what}")
        pids = await self._pids()
        used, seconds = {name: cpu_s([pid]) for name, pid in pids.items()}, self.run.count(4, 60)
        orders = api_load.Orders(port=port, token=self.token, streams=streams)
        async with client_process(api_load.__name__, orders) as process:
            await asyncio.sleep(seconds)
            answers = Answers.model_validate_json(await process.finish(_END_S))
        said = ", ".join(f"{name} {(cpu_s([pid]) - used[name]) / seconds * 100:.0f} %" for name, pid in pids.items())
        say(f"{SECTION}: {what}: {len(answers.answers)} answers in {seconds} s; of a core: {said}")
        return answers

    def _load_rows(self, beside: str, found: Answers, floor: Sequence[float], targets: tuple[Target, ...]) -> None:
        self._row(f"{beside}: read", "ms", _waits(found, READ), floor=floor, targets=targets)
        for name in dict.fromkeys(each.name for each in found.answers if each.name.startswith(READ)):
            waits = [each.waited_ms for each in found.answers if each.name == name]
            self._row(f"{beside}: {name}", "ms", waits, targets=[each for each in targets if each.stat == "median"])

    async def _pids(self) -> dict[str, int]:
        parts = (await stack.status(self.settings)).parts
        names = {part.name: part.process.pid for part in parts if part.process}
        return names | {"floor": self.floor_pid}

    async def _api(self) -> int:
        return (await self._pids())[API]

    def _reads(self) -> Stream:
        calls = [
            Call(name=f"{READ} of {what}", path=path.format(cluster))
            for cluster in self.clusters
            for what, path in (
                ("a cluster", "/api/v1/postgresv2/{}"),
                ("its users", "/api/v1/postgresv2/{}/users"),
                ("its databases", "/v1/postgres/{}/databases"),
                ("its operations", "/api/v1/postgresv2/{}/operations"),
                ("its nodes", "/api/v1/postgresv2/{}/nodes"),
            )
        ]
        return Stream(calls=tuple(calls), per_second=READS_PER_S)

    def _changes(self) -> Stream:
        bodies = tuple(f'{{"role": "{role.value}"}}' for role in (Role.WRITER, Role.READER))
        calls = (
            Call(name=CHANGE, method="PATCH", path=f"/api/v1/postgresv2/{each}/users/{USER}", bodies=bodies)
            for each in self.clusters
        )
        return Stream(calls=tuple(calls), per_second=CHANGES_PER_S)


def _bare_reads() -> Stream:
    return Stream(calls=(Call(name=READ, path="/cluster"),), per_second=READS_PER_S)


def _waits(found: Answers, kind: str) -> list[float]:
    return [each.waited_ms for each in found.answers if each.name.startswith(kind)]


@asynccontextmanager
async def _floor(run: Run) -> AsyncGenerator[tuple[int, int]]:
    """Lend the floor: its port, and the id of its process."""
    port = run.workspace.free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.floor_api", str(port), cwd=REPOSITORY)
    try:
        await await_port(port, timeout_s=30)
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
