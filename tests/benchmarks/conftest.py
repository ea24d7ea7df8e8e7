"""What the tests of the benchmarks share: they are not installed, and are imported from the checkout."""

import sys
from pathlib import Path

# At the end: what is installed comes first, so that a run against the wheel tests the wheel.
sys.path.append(str(Path(__file__).parents[2]))
