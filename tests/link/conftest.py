"""What the tests on the fake link share: helpers beside them can be imported, wherever pytest was started."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of cuts and failing handlers are the point here; nobody wants to read of each."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
