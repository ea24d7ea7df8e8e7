"""Rules by names: which names of groups, peers or destinations one of several patterns allows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

NAMES_REMEMBERED: Final = 4096
"""Names whose answer is remembered; past it all are looked at anew."""


class NameRules:
    """Patterns of names.

    Args:
        patterns: names in which ``*`` stands for any characters, or for none.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def allow(self, name: str) -> bool:
        """Whether one of the patterns is of this name."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= NAMES_REMEMBERED:
                self._known.clear()
            known = self._known[name] = any(matches(pattern, name) for pattern in self._patterns)
        return known


@lru_cache(maxsize=16_384)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(".*" if each == "*" else re.escape(each) for each in pattern))


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern's, in which ``*`` stands for any characters, or for none."""
    return _expression(pattern).fullmatch(name) is not None
