"""What the tests of healing share."""

import pytest

from tests.unit.workflows.cluster.healed import Healed
from tests.unit.workflows.runtime import Runtime


@pytest.fixture
def healed(runtime: Runtime) -> Healed:
    """A cluster that serves."""
    return Healed(runtime)
