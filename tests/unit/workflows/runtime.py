"""What stands for Temporal where a workflow's objects are tested alone: time, waits, signals, children, effects.

Time stands still until a test lets it pass. What happens is written down in one journal, so that a test sees the order.
"""

import asyncio
import logging
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio import workflow
from temporalio.common import SearchAttributeUpdate, TypedSearchAttributes
from temporalio.exceptions import ApplicationError

from model import effects
from model.base import Record
from model.cluster import ClusterState
from model.effects import Effect, I, O
from model.facts import Fact, apply
from model.operations import Commit, HealRequest
from tests.workflows.stubs import answer, describe
from workflows.cluster.record import ClusterRecord
from workflows.operation import Operation

BOUND_S = 20.0
"""How long a condition may take, by a clock on the wall, before the test fails."""
ROUNDS = 100
"""Turns of the event loop in which everything that can go on has gone as far as it can: nothing here waits for I/O."""
_next_round = asyncio.sleep


@dataclass
class Child:
    """A workflow that was started, and how it ends."""

    id: str
    request: HealRequest
    end: "asyncio.Future[object]"
    options: dict[str, Any]

    def completes(self) -> None:
        """Let it come to its end."""
        self.end.set_result(None)

    def fails(self, message: str) -> None:
        """Let it fail."""
        self.end.set_exception(ApplicationError(message, type="Refused"))


Answer = Record | Exception | asyncio.Future[Any]
"""What an effect does: answer, fail, or last until the test says how it ends."""


@dataclass
class Runtime:
    """Temporal's part, played by the test's own event loop."""

    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    passed: float = 0.0
    """Seconds since *start*."""
    journal: list[str] = field(default_factory=list[str])
    shown: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    """Each change of what lists of workflows show."""
    details: list[str] = field(default_factory=list[str])
    """Each text that Temporal's page had of the workflow."""
    gone: dict[str, Exception] = field(default_factory=dict[str, Exception])
    """Workflows that a signal does not reach, and what is raised then."""
    sent: list[tuple[str, str | None, object]] = field(default_factory=list[tuple[str, str | None, object]])
    """To whom each signal went, to which run of it, and what was in it."""
    children: list[Child] = field(default_factory=list[Child])
    args: dict[str, list[Any]] = field(default_factory=lambda: defaultdict[str, list[Any]](list))
    """By effect, what it was asked."""
    _planned: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict[str, deque[Answer]](deque))

    # --- what a test says and asks --------------------------------------------------------------------------------

    def plan(self, effect: Effect[Any, Any], *answers: Answer) -> None:
        """Have *effect* answer so, once each; after that it answers as if all is well."""
        self._planned[effect.name].extend(answers)

    def lasts(self, effect: Effect[Any, Any]) -> "asyncio.Future[Any]":
        """Have *effect* last until the future that is returned has a result; a cancellation cancels that."""
        end = asyncio.get_running_loop().create_future()
        self.plan(effect, end)
        return end

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for *condition*. Time stands still meanwhile."""
        await self.wait_condition(condition)

    async def rest(self) -> None:
        """Let everything that can go on go as far as it can."""
        for _ in range(ROUNDS):
            await _next_round(0)

    async def pass_time(self, seconds: float) -> None:
        """Let so much time pass, and what follows from that happen."""
        await self.rest()
        self.passed += seconds
        await self.rest()

    # --- what workflow code asks of the SDK -----------------------------------------------------------------------

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.passed)

    async def sleep(self, seconds: float) -> None:
        end = self.passed + seconds
        await self.wait_condition(lambda: self.passed >= end)

    async def wait_condition(self, condition: Callable[[], bool], *, timeout: timedelta | float | None = None) -> None:
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if seconds is None else self.passed + seconds
        last = time.monotonic() + BOUND_S
        while not condition():
            if end is not None and self.passed >= end:
                raise TimeoutError
            if time.monotonic() > last:
                pytest.fail(f"never so: {condition}")
            await _next_round(0)

    async def wait(self, tasks: Iterable["asyncio.Future[Any]"], *, timeout: float | None = None) -> None:
        waited = list(tasks)
        try:
            await self.wait_condition(lambda: all(task.done() for task in waited), timeout=timeout)
        except TimeoutError:
            return

    def upsert(self, updates: Sequence[SearchAttributeUpdate[Any]]) -> None:
        self.shown.append({update.key.name: update.value for update in updates})

    def handle_of(self, workflow_id: str, *, run_id: str | None = None) -> SimpleNamespace:
        async def signal(name: str, arg: object = None) -> None:
            self.journal.append(f"signal {name} to {workflow_id}")
            self.sent.append((workflow_id, run_id, arg))
            if (error := self.gone.get(workflow_id)) is not None:
                raise error

        return SimpleNamespace(signal=signal)

    async def start_child(self, name: str, request: Any, **options: Any) -> "asyncio.Future[object]":
        self.journal.append(f"start {name} for {request.lost}")
        child = Child(options.pop("id"), request, asyncio.get_running_loop().create_future(), options)
        self.children.append(child)
        return child.end

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand for the SDK, and for the event loop's clock, until *monkeypatch* is undone."""
        asked = {
            "now": self.now,
            "logger": logging.getLogger("workflow"),
            "wait_condition": self.wait_condition,
            "wait": self.wait,
            "uuid4": lambda: uuid.UUID(int=len(self.children)),
            "info": lambda: SimpleNamespace(
                workflow_id="switchover/orders/1", run_id="run", typed_search_attributes=TypedSearchAttributes.empty
            ),
            "upsert_search_attributes": self.upsert,
            "patched": lambda patch: True,
            "set_current_details": self.details.append,
            "get_external_workflow_handle": self.handle_of,
            "start_child_workflow": self.start_child,
        }
        for name, answers in asked.items():
            monkeypatch.setattr(workflow, name, answers)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    # --- what stands for activities -------------------------------------------------------------------------------

    async def effect(self, effect: Effect[I, O], arg: I) -> Any:
        """Do what was planned for *effect*."""
        self.journal.append(describe(effect.name, arg))
        self.args[effect.name].append(arg)
        planned = self._planned[effect.name]
        match planned.popleft() if planned else answer(effect.name, arg):
            case Exception() as error:
                raise error
            case asyncio.Future() as end:
                return await end
            case answered:
                return answered

    def recorded(self, cluster_id: str, facts: Sequence[Fact]) -> None:
        """Write down that *facts* were recorded."""
        commit = Commit(operation_id="", facts=tuple(facts))
        self.journal.append(describe("commit_facts", effects.CommitInput(cluster_id=cluster_id, commit=commit)))


class ScriptedRecord(ClusterRecord):
    """A cluster's record whose effects do what the test planned."""

    def __init__(self, state: ClusterState, runtime: Runtime) -> None:
        super().__init__(state)
        self._runtime = runtime

    def learn(self, *facts: Fact) -> None:
        self._runtime.recorded(self.spec.id, facts)
        super().learn(*facts)

    async def effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        return await self._runtime.effect(effect, arg)


class ScriptedOperation(Operation):
    """An operation that has the turn, whose effects do what the test planned and whose facts are only written down."""

    def __init__(self, state: ClusterState, runtime: Runtime) -> None:
        super().__init__()
        self.state = state
        self._runtime = runtime

    async def effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        return await self._runtime.effect(effect, arg)

    async def commit(self, *facts: Fact) -> None:
        self.state = apply(self.state, facts)
        self._runtime.recorded(self.state.spec.id, facts)
