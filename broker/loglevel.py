"""The least severe level that is logged, read and changed while the broker runs."""

from __future__ import annotations

import logging
from typing import Final, get_args

from lanebus.conf.model import LogLevel

LEVELS: Final[tuple[str, ...]] = get_args(LogLevel)
"""From the one that writes most to the one that writes least."""

log = logging.getLogger("lanebus.broker")
_root = logging.getLogger("lanebus")


def level() -> str:
    """The level now; ``warning`` where nobody has set one."""
    return logging.getLevelName(_root.getEffectiveLevel()).lower()


def set_level(new: object) -> str:
    """Change the level at once, for all that lanebus logs in this process; what it was.

    Raises:
        ValueError: there is no such level.
    """
    if new not in LEVELS:
        raise ValueError(f"no level {new!r}: use one of {', '.join(LEVELS)}")
    before = level()
    # Whichever of the two levels writes it has to hear of it.
    number = logging.getLevelName(str(new).upper())
    _root.setLevel(min(number, _root.getEffectiveLevel()))
    log.log(max(logging.INFO, _root.level), "= log level %s, was %s", new, before)
    _root.setLevel(number)
    return before
