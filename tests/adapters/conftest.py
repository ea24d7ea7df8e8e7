"""What the tests of the adapters share: helpers beside them can be imported, wherever pytest was started."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))

from tests.adapters.real import RunningBroker

from lanebus.adapters.server import ServerAdapter


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """A broker on real sockets, in a thread of its own."""
    with RunningBroker() as running:
        yield running


@pytest.fixture
def pair(broker: RunningBroker) -> Iterator[tuple[ServerAdapter, ServerAdapter]]:
    """Two servers, connected."""
    with (
        ServerAdapter("a", broker=broker.address) as one,
        ServerAdapter("b", broker=broker.address) as other,
    ):
        yield one, other
