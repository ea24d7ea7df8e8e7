"""Violations: the rules that peers break, what each costs, and what becomes of those who break too many.

Every name has an error budget. Who has used it up may send nothing for some seconds; who goes on until it is used up
three times over is ended, and the name is refused for a while. It is the name that counts, and not the process, since
a process is made anew for nothing. What comes within a moment is one mistake, whatever there is of it, and costs half
of a budget at most: nobody is ended for one mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.policies import Limits, Policies
from lanebus.broker.sessions import Session
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.errors import ErrorNumber

NAMES_REMEMBERED: Final = 4096
"""Names that have broken a rule; past it those are forgotten whose budget is full again, and else the oldest half."""
MOMENT_S: Final = 0.1
LATELY_S: Final = 30.0
"""`Violations.lately` tells of so long, to twice as long."""


class Violation(StrEnum):
    """The kinds of rules."""

    MALFORMED = "malformed"
    """A frame that cannot be read: errors 101 to 110."""
    OUT_OF_PLACE = "out_of_place"
    """A message that may not come there or then, or with that number: errors 201 to 207; a request not of its role."""
    FLOOD = "flood"
    """More raw bytes than any peer sends: error 208."""
    TOO_LARGE = "too_large"
    """An event past a limit of its size."""
    BAD_TOPIC = "bad_topic"
    BAD_DESTINATION = "bad_destination"
    NOT_ALLOWED = "not_allowed"
    """An event on a topic, or for a destination, that a client may not use; a group that it may not join."""
    CONTROL = "control"
    """A control message more than it may send."""


COSTS: Final[Mapping[Violation, float]] = {
    Violation.MALFORMED: 100.0,
    Violation.OUT_OF_PLACE: 50.0,
    Violation.FLOOD: 100.0,
    Violation.TOO_LARGE: 50.0,
    Violation.BAD_TOPIC: 20.0,
    Violation.BAD_DESTINATION: 20.0,
    Violation.NOT_ALLOWED: 5.0,
    Violation.CONTROL: 1.0,
}
"""What each takes from the error budget."""

_BY_ERROR: Final[Mapping[ErrorNumber, Violation]] = {
    ErrorNumber.FLOOD: Violation.FLOOD,
    ErrorNumber.BAD_TOPIC: Violation.BAD_TOPIC,
    ErrorNumber.BAD_DESTINATION: Violation.BAD_DESTINATION,
    ErrorNumber.EVENT_TOO_LARGE: Violation.TOO_LARGE,
    ErrorNumber.NOT_ALLOWED: Violation.OUT_OF_PLACE,
}


def violation_of(number: ErrorNumber) -> Violation | None:
    """The violation that an error is; None for those that are no fault of a peer's."""
    if number < ErrorNumber.NOT_LEGAL_HERE:
        return Violation.MALFORMED
    if number in _BY_ERROR:
        return _BY_ERROR[number]
    return Violation.OUT_OF_PLACE if number < ErrorNumber.BAD_NAME else None


class _Record:
    """What one name has done."""

    __slots__ = ("at", "before", "cools_until", "counts", "left", "moment", "moment_cost", "recent", "since")

    def __init__(self, budget: float, now: float) -> None:
        self.counts: dict[Violation, int] = {}
        self.left = budget
        self.at = now
        self.cools_until = 0.0
        self.moment = now
        """When the latest moment began, and what it has cost so far."""
        self.moment_cost = 0.0
        self.since = now
        """When the latest stretch of `LATELY_S` began, with how many in it and in the one before."""
        self.recent = 0
        self.before = 0

    def count(self, kind: Violation, now: float) -> None:
        """Count one."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if now - self.since >= LATELY_S:
            self.before = self.recent if now - self.since < 2 * LATELY_S else 0
            self.recent, self.since = 0, now
        self.recent += 1

    def charge(self, cost: float, most: float, now: float) -> None:
        """Take a cost; of one moment no more than `most`."""
        if now - self.moment >= MOMENT_S:
            self.moment, self.moment_cost = now, 0.0
        cost = min(cost, most - self.moment_cost)
        self.moment_cost += cost
        self.left -= cost


class Violations:
    """The error budgets of all names.

    Args:
        config: how large they are.
        policies: where the limits of a session come from that had none before it was held back.
    """

    def __init__(self, config: PolicyConfig, policies: Policies) -> None:
        self._budget = float(config.error_budget)
        self._per_s = config.error_budget_per_s
        self._cool_down_s = config.cool_down_s
        self._policies = policies
        self._records: dict[str, _Record] = {}
        self.totals: dict[Violation, int] = {}
        """Of all peers, since the start."""
        self.spent: dict[Attachment | Session, None] = {}
        """Who is to be ended, and has not been."""

    @property
    def cool_down_s(self) -> float:
        """How long a name is refused, in seconds."""
        return self._cool_down_s

    def by_session(self, session: Session, kind: Violation, now: float) -> None:
        """A session has broken a rule."""
        self._note(session.name, session, session, kind, now)

    def by_attachment(self, attachment: Attachment, kind: Violation, now: float) -> None:
        """A process has broken a rule of all its sessions."""
        self._note(attachment.name, attachment, attachment.sessions.get(0), kind, now)

    def _note(
        self, name: str, who: Attachment | Session, session: Session | None, kind: Violation, now: float
    ) -> None:
        self.totals[kind] = self.totals.get(kind, 0) + 1
        record = self._record(name, now)
        record.count(kind, now)
        if not self._budget or record.cools_until > now:
            return
        if record.cools_until:
            # It has paid for what it did: one more mistake is the first one again.
            record.cools_until, record.left = 0.0, self._budget
        self._refill(record, now)
        record.charge(COSTS[kind], self._budget / 2, now)
        if record.left < -2 * self._budget:
            record.cools_until = now + self._cool_down_s
            self.spent[who] = None
        elif record.left < 0 and session is not None:
            if session.limits is None:
                session.limits = Limits(self._policies.of(name, session.role), now)
                session.limit_egress()
            # Not at zero: else one more would hold it again at once.
            session.limits.bar(now + (self._budget / 2 - record.left) / self._per_s)

    def _record(self, name: str, now: float) -> _Record:
        record = self._records.get(name)
        if record is None:
            if len(self._records) >= NAMES_REMEMBERED:
                self._forget(now)
            record = self._records[name] = _Record(self._budget, now)
        return record

    def _forget(self, now: float) -> None:
        kept = {
            name: record
            for name, record in self._records.items()
            if record.cools_until > now or self._refill(record, now) < self._budget
        }
        if len(kept) >= NAMES_REMEMBERED:
            # Whoever is refused last of all: a crowd of small offenders must not set a name free.
            by_end = sorted(kept.items(), key=lambda item: item[1].cools_until)
            kept = dict(by_end[NAMES_REMEMBERED // 2 :])
        self._records = kept

    def _refill(self, record: _Record, now: float) -> float:
        if now > record.at:
            record.left = min(self._budget, record.left + (now - record.at) * self._per_s)
            record.at = now
        return record.left

    # What is known of a name

    def counts(self, name: str) -> dict[str, int]:
        """How often it broke which rules, since it was first remembered."""
        record = self._records.get(name)
        return {} if record is None else {kind.value: count for kind, count in record.counts.items()}

    def lately(self, name: str, now: float) -> int:
        """How many rules it broke in the last `LATELY_S` to twice as long."""
        record = self._records.get(name)
        if record is None or now - record.since >= 2 * LATELY_S:
            return 0
        return record.recent + (record.before if now - record.since < LATELY_S else 0)

    def used_share(self, name: str, now: float) -> float:
        """How much of its error budget is used up: from 1 on it is held back, at 3 it is ended."""
        record = self._records.get(name)
        if record is None or not self._budget:
            return 0.0
        return 1.0 - self._refill(record, now) / self._budget

    def cools_s(self, name: str, now: float) -> float:
        """How long it is refused yet, in seconds; 0 if it is not."""
        record = self._records.get(name)
        return 0.0 if record is None else max(0.0, record.cools_until - now)

    def cooling(self, now: float) -> dict[str, float]:
        """All names that are refused, and how long yet, in seconds."""
        return {
            name: record.cools_until - now
            for name, record in self._records.items()
            if record.cools_until > now
        }

    def why(self, name: str) -> str:
        """What a name has done, for people: the kinds, the most frequent first."""
        counts = sorted(self.counts(name).items(), key=lambda item: -item[1])
        return ", ".join(f"{count} {kind}" for kind, count in counts)
