"""A seeded sample of the kill matrix. All of it: ``make test-faults``."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.faults import scenarios
from tests.faults.fault import Kind
from tests.faults.lane import Case, Lane, open_lane
from tests.faults.matrix import all_cases, read_steps

SEED = 20261124
SAMPLE = 40
KINDS = [kind for kind in Kind if kind is not Kind.ENGINE]
"""Not the engine that other tests use."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lane() -> AsyncGenerator[Lane]:
    async with open_lane(0) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cases(lane: Lane) -> list[Case]:
    """Every case there is, from the steps that the operations have now."""
    return all_cases(await read_steps(lane), KINDS, SEED)


def test_every_operation_has_a_scenario() -> None:
    assert scenarios.missing() == set()


async def test_sample_has_every_operation_and_every_fault(cases: list[Case]) -> None:
    sample = cases[:SAMPLE]
    assert {case.operation for case in sample} == set(scenarios.OPERATIONS)
    assert {case.kind for case in sample} == set(KINDS)
    assert len(cases) > 1000


@pytest.mark.parametrize("number", range(1, SAMPLE + 1))
async def test_operation_ends_done_or_undone_whatever_breaks(lane: Lane, cases: list[Case], number: int) -> None:
    result = await lane.run(cases[number - 1])
    assert result.passed, f"{result.case} → {result.outcome}: {'; '.join(result.problems) or 'it did not happen'}"
