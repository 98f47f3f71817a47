"""A cluster that is healed without a server: the objects that its workflow consists of, and a holder of the turn."""

import asyncio

from model.cluster import ClusterState, OperationRef
from tests.unit.workflows.runtime import Child, Runtime, ScriptedRecord
from workflows.cluster.healing import Healing
from workflows.cluster.losses import Losses
from workflows.cluster.settling import Settling
from workflows.cluster.turns import Turns

HOLDER = "change-plan/orders/1"
YIELD, GRANT = f"signal yield_turn to {HOLDER}", f"signal grant_turn to {HOLDER}"


class Healed:
    """A cluster and what heals it; its holder, where it has one, ends when the test says so."""

    def __init__(self, runtime: Runtime, state: ClusterState) -> None:
        self.runtime = runtime
        self.record = ScriptedRecord(state, runtime)
        self.turns = Turns(self.record)
        self.losses = Losses(lambda: self.record.state)
        self.record.listen(self.losses.hear)
        self.settling = Settling(self.record, (), lambda: False)
        self.healing = Healing(self.record, self.turns, self.losses, self.settling)

    def follow(self, operation: str = "ChangePlan") -> "asyncio.Task[None]":
        """Let an operation of this type work with the turn."""
        holder = OperationRef(id=HOLDER, run_id="run", type=operation, started_at=self.runtime.now())
        self.turns.give_to(holder)
        self.end = asyncio.get_running_loop().create_future()

        async def following() -> object:
            return await self.end

        return asyncio.create_task(self.healing.let_work(holder, asyncio.create_task(following())))

    async def child(self) -> Child:
        """Return the operation that the cluster started itself, when it has."""
        await self.runtime.until(lambda: len(self.runtime.children) == 1)
        return self.runtime.children[0]

    async def yields(self) -> None:
        """Let the holder stop, once it is asked to."""
        await self.runtime.until(lambda: YIELD in self.runtime.journal)
        self.healing.turn_yielded()

    @property
    def conditions(self) -> dict[str, str]:
        return {each.type: each.message for each in self.record.status.conditions}
