"""Trials: what a process did not settle is tried again with its successor, and it is found which part ends processes.

Any of it may be what ended the process, and most of it is not. So it is given in rounds: the next one when all of the
last is settled, and of twice as many parts. Where a process ends in the middle of that, its successor gets what was
under way in rounds of far fewer, on one lane after the other and with nothing else beside them; in the end one part is
alone. Only a process that ends with a single part under way says something against that part.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lanebus.broker.events import Event
from lanebus.wire.lanes import LANES

FIRST_ROUND: Final = 64
"""Parts of a lane's first round, while nothing is known against any of them."""
LARGEST_ROUND: Final = 4096
NARROWER: Final = 8
"""A process that ends in the middle of a trial leaves rounds of so many times fewer parts than were under way."""
MAX_FAILURES: Final = 5
"""Processes that may end with a part alone under way; after that it is refused as poison."""

Group = tuple[set[Event], ...]
"""By lane: parts one of which ended a process."""


def _nobody() -> Group:
    return tuple(set() for _ in LANES)


class Trial:
    """Of one session, from when it is given another process' parts until all of them are settled."""

    __slots__ = ("failures", "group", "most", "rounds")

    def __init__(self) -> None:
        self.most = 0
        """Parts of a round, on all lanes together, and with nothing else under way; 0 where each lane has its own."""
        self.group = _nobody()
        """Those for which such rounds are, and that have not been let go yet."""
        self.rounds = [FIRST_ROUND for _ in LANES]
        """By lane: parts of the next round."""
        self.failures: dict[Event, int] = {}
        """Processes that ended with this part alone under way."""

    def next_round(self, lane: int) -> int:
        """How many parts of a lane are let go now that all of the last round are settled."""
        size = self.rounds[lane]
        self.rounds[lane] = min(2 * size, LARGEST_ROUND)
        return size

    def widen(self) -> None:
        """The group is settled: the rest is tried as at first."""
        self.most = 0
        self.rounds = [FIRST_ROUND for _ in LANES]


class Verdict(NamedTuple):
    """What the end of a process says of the parts that were under way."""

    most: int
    """How many of `group` may be under way at once from now on; 0 where nothing is known against any part."""
    group: Group
    failures: dict[Event, int]


def judge(under_way: list[list[Event]], trial: Trial | None) -> Verdict:
    """A process has ended.

    Args:
        under_way: by lane: what it was sent and did not settle.
        trial: what was tried with it, if anything was.
    """
    failures = {} if trial is None else dict(trial.failures)
    count = sum(map(len, under_way))
    if count == 1:
        event = next(event for events in under_way for event in events)
        failures[event] = failures.get(event, 0) + 1
        return Verdict(1, tuple(map(set, under_way)), failures)
    if trial is None:
        return Verdict(0, _nobody(), failures)
    if not count:
        return Verdict(trial.most, trial.group, failures)
    return Verdict(max(1, count // NARROWER), tuple(map(set, under_way)), failures)


def accept(trial: Trial, verdict: Verdict, lane: int, given: list[Event]) -> None:
    """A session gets parts of a process that has ended: what was found about them holds on."""
    group = verdict.group[lane]
    trial.group[lane].update(event for event in given if event in group)
    for event in given:
        if event in verdict.failures:
            trial.failures[event] = verdict.failures[event]
    if verdict.most and trial.group[lane]:
        trial.most = min(trial.most or verdict.most, verdict.most)
