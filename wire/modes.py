"""The delivery modes, and what is answered when it is asked how an event ended that was never seen."""

from __future__ import annotations

from typing import Final, Literal

from lanebus.wire.batches import EVENT_LATEST, EVENT_PRESENT, EVENT_VOLATILE
from lanebus.wire.outcomes import Outcome, Reason

Mode = Literal["reliable", "latest", "volatile"]
MODES: Final = ("reliable", "latest", "volatile")

VOLATILE_LATE_S: Final = 1.0
"""How old a volatile event without a time to live may be when it leaves its sender, or the broker."""
MAX_TTL_MS: Final = 86_400_000
"""Longest time to live: a day. Stamps could tell twice that from the past."""

End = tuple[Outcome, Reason]

SUPERSEDED: Final[End] = (Outcome.SUPERSEDED, Reason.NEWER_VALUE)
EXPIRED: Final[End] = (Outcome.EXPIRED, Reason.TOO_LATE)
DROPPED_LATE: Final[End] = (Outcome.DROPPED, Reason.TOO_LATE)
PROCESS_ENDED: Final[End] = (Outcome.UNKNOWN, Reason.PROCESS_ENDED)
LOST: Final[End] = (Outcome.DROPPED, Reason.LINK_LOST)


def unseen(flags: int) -> End:
    """How an event ends that a receiver is asked for and has never seen, by the question's flags."""
    if flags & EVENT_VOLATILE:
        return LOST
    if flags & EVENT_PRESENT:
        return PROCESS_ENDED
    return SUPERSEDED if flags & EVENT_LATEST else EXPIRED
