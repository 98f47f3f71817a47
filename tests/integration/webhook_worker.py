"""A stack's worker with stub activities, but for those of webhooks: alarms come from a file that the test writes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import worker
from activities.operations import OperationActivities
from activities.registry import Activities
from activities.scheduling import ScheduleActivities
from activities.webhooks.beginning import BeginningActivities
from activities.webhooks.delivery import DeliveryActivities
from activities.webhooks.happenings import HappeningActivities
from model import effects
from model.effects import Alarm, Effect, WatchInput
from model.master_key import load_or_create_master_key
from model.settings import load_settings
from starter.logs import configure_logging
from tests.workflows.server import real_activities
from tests.workflows.stubs import Stubs

ALARM_FILE = "alarm.json"
LOOK_S = 0.05


class WatchedStubs(Stubs):
    """Stubs whose watch tells of the alarm in a file, once; and which leave messages to *delivery*."""

    def __init__(self, file: Path, delivery: DeliveryActivities, **fields: Any) -> None:
        super().__init__(**fields)
        self._file = file
        self._delivery = delivery

    async def watch(self, arg: WatchInput) -> Alarm:
        while not self._file.exists():
            await asyncio.sleep(LOOK_S)
        alarm = Alarm.model_validate_json(self._file.read_bytes())
        self._file.unlink()
        return alarm

    def _stub(self, effect: Effect[Any, Any]) -> Callable[..., object]:
        return self._delivery.deliver_message if effect is effects.DELIVER_MESSAGE else super()._stub(effect)


async def main() -> None:
    settings = load_settings()
    configure_logging(settings)
    client = await worker.connect(settings)
    operations, scheduling = OperationActivities(client), ScheduleActivities(client)
    delivery = DeliveryActivities(client, settings, load_or_create_master_key(settings.master_key_file))
    stubs = WatchedStubs(
        settings.home / ALARM_FILE,
        delivery,
        real=operations,
        scheduling=scheduling,
        beginning=BeginningActivities(client),
    )
    main_queue = [
        *stubs.activities(host=False),
        *real_activities(operations, scheduling, HappeningActivities(client)),
    ]
    stop = worker.stop_signal()
    async with worker.serving(client, settings, Activities(main=main_queue, host=stubs.activities(host=True))):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
