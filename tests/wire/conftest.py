"""What the tests of the wire share: helpers beside them can be imported, wherever pytest was started."""

import sys
from pathlib import Path

from hypothesis import settings

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("lanebus", deadline=None)
settings.load_profile("lanebus")
