"""What the tests of the broker share: helpers beside them can be imported, wherever pytest was started."""

import sys
from pathlib import Path

import pytest

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))

from tests.broker.bench import Bench


@pytest.fixture
def bench() -> Bench:
    """A broker's core with small limits, at time 0."""
    return Bench()
