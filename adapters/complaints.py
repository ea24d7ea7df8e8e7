"""Complaints: what the broker says when it ends the links, and when there is no use in trying again."""

from __future__ import annotations

from typing import Final

from lanebus.wire.errors import ErrorNumber

MAX_SAME_ERRORS: Final = 5
"""Times in a row that the broker may end the links with the same error before the adapter gives up."""
ERROR_MEMORY_S: Final = 60.0
"""An error that comes longer than this after the last of its kind is the first of a new row."""
_PASSING: Final = frozenset(
    {ErrorNumber.NO_SESSION, ErrorNumber.DRAINING, ErrorNumber.BUSY, ErrorNumber.COOLING_DOWN}
)
"""Errors that a later hello, or the next broker, mends, however often they come."""
_FINAL: Final = frozenset({ErrorNumber.FENCED, ErrorNumber.BAD_NAME, ErrorNumber.NO_COMMON_VERSION})
"""Errors that trying again cannot mend."""


class Complaints:
    """The errors that one adapter was told."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, float]] = {}

    def is_final(self, number: int, now: float) -> bool:
        """Take an error; whether it is one too many."""
        count, last = self._rows.get(number, (0, now))
        count = 1 if now - last > ERROR_MEMORY_S else count + 1
        self._rows[number] = count, now
        return number in _FINAL or (count >= MAX_SAME_ERRORS and number not in _PASSING)
