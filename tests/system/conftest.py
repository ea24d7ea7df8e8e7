"""What the tests of whole processes share: helpers beside them can be imported, wherever pytest was started."""

import sys
from pathlib import Path

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))
