"""The checks in their order, timed, each with its result."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from model.errors import MpgError
from model.settings import Settings
from starter.prerequisites.engine import check_engine, ensure_engine
from starter.prerequisites.master_key import check_master_key, ensure_master_key
from starter.prerequisites.node_image import check_image, ensure_image, wants_postgis
from starter.prerequisites.prometheus_binary import check_prometheus, ensure_prometheus
from starter.prerequisites.result import CheckName, CheckResult, CheckState, Missing, OnProgress
from starter.prerequisites.storage_limit import check_storage_limit, ensure_storage_limit
from starter.prerequisites.temporal_binary import check_temporal, ensure_temporal

Look = Callable[[Settings], str]
Fix = Callable[[Settings, OnProgress], str]

_STEPS: dict[CheckName, tuple[Look, Fix]] = {
    CheckName.DOCKER: (check_engine, ensure_engine),
    CheckName.TEMPORAL: (check_temporal, ensure_temporal),
    CheckName.MASTER_KEY: (check_master_key, ensure_master_key),
    CheckName.STORAGE_LIMIT: (check_storage_limit, ensure_storage_limit),
    CheckName.NODE_IMAGE: (check_image, ensure_image),
    CheckName.POSTGIS_IMAGE: (partial(check_image, postgis=True), partial(ensure_image, postgis=True)),
    CheckName.PROMETHEUS: (check_prometheus, ensure_prometheus),
}
_DONE_WITHOUT = frozenset({CheckName.PROMETHEUS})
"""What the stack is up without."""


async def check(settings: Settings) -> list[CheckResult]:
    """Return what is there and what is missing; nothing is changed."""
    names = (
        CheckName.DOCKER,
        CheckName.TEMPORAL,
        CheckName.MASTER_KEY,
        CheckName.STORAGE_LIMIT,
        *await _images(settings),
        CheckName.PROMETHEUS,
    )
    return await asyncio.gather(*(asyncio.to_thread(_look, name, settings) for name in names))


async def ensure(settings: Settings, on_progress: OnProgress) -> list[CheckResult]:
    """Start, install and build what is missing, and return how each check ended.

    Args:
        settings: which engine, which Temporal, which images.
        on_progress: takes one line at a time, each beginning with the name of its check.
    """
    # Temporal needs no engine and may take minutes; the images need the engine.
    temporal, key = (
        asyncio.to_thread(_look_and_fix, name, settings, on_progress)
        for name in (CheckName.TEMPORAL, CheckName.MASTER_KEY)
    )
    found, held, (engine, *images) = await asyncio.gather(temporal, key, _engine_then_images(settings, on_progress))
    return [engine, found, held, *images]


async def _engine_then_images(settings: Settings, on_progress: OnProgress) -> list[CheckResult]:
    results = [await asyncio.to_thread(_look_and_fix, CheckName.DOCKER, settings, on_progress)]
    step = _look_and_fix if results[0].passed else _look_only
    for name in (CheckName.STORAGE_LIMIT, *await _images(settings)):
        results.append(await asyncio.to_thread(step, name, settings, on_progress))
    # Last: it may need apt, which one at a time uses.
    return [*results, await asyncio.to_thread(_look_and_fix, CheckName.PROMETHEUS, settings, on_progress)]


async def _images(settings: Settings) -> tuple[CheckName, ...]:
    postgis = await asyncio.to_thread(wants_postgis, settings)
    return (CheckName.NODE_IMAGE, CheckName.POSTGIS_IMAGE) if postgis else (CheckName.NODE_IMAGE,)


def _look(name: CheckName, settings: Settings) -> CheckResult:
    return _timed(name, CheckState.OK, lambda: _STEPS[name][0](settings))


def _look_only(name: CheckName, settings: Settings, on_progress: OnProgress) -> CheckResult:
    result = _look(name, settings)
    on_progress(describe(result))
    return result


def _look_and_fix(name: CheckName, settings: Settings, on_progress: OnProgress) -> CheckResult:
    result = _look(name, settings)
    if result.state is not CheckState.OK:
        on_progress(f"{name}: {result.detail}")
        fix = _STEPS[name][1]
        result = _timed(name, CheckState.FIXED, lambda: fix(settings, lambda line: on_progress(f"{name}: {line}")))
    on_progress(describe(result))
    return result


def describe(result: CheckResult) -> str:
    """Return *result* as one line for a person."""
    remedy = f" {result.remedy}" if result.remedy else ""
    return f"{result.name}: {result.state} in {result.seconds:.1f} s, {result.detail}{remedy}"


def _timed(name: CheckName, success: CheckState, step: Callable[[], str]) -> CheckResult:
    started = time.monotonic()
    state, remedy = success, ""
    missing_state = CheckState.WITHOUT if name in _DONE_WITHOUT else CheckState.FAILED
    try:
        detail = step()
    except Missing as missing:
        state, detail, remedy = missing_state, missing.detail, missing.remedy
    except MpgError as error:
        state, detail, remedy = missing_state, error.message, error.remedy
    return CheckResult(
        name=name, state=state, detail=detail, seconds=round(time.monotonic() - started, 3), remedy=remedy
    )
