"""What the tests of healing share."""

import pytest

from tests.unit.workflows.cluster.healed import Healed
from tests.unit.workflows.runtime import Runtime
from tests.workflows.samples import ready_cluster


@pytest.fixture
def healed(runtime: Runtime) -> Healed:
    """A cluster that serves."""
    return Healed(runtime, ready_cluster())
