"""Policies: which limits a session has, by its role, its name and its topics, and what it has left of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final, NamedTuple

import msgspec

from lanebus.broker.allowance import Allowance, Bucket
from lanebus.broker.floods import floods_of, rates_of
from lanebus.broker.name_rules import matches
from lanebus.conf.policy import PeerPolicy, Policy, PolicyConfig, TopicPolicy
from lanebus.wire.lanes import Lane
from lanebus.wire.names import PatternTable, Role
from lanebus.wire.outcomes import Outcome, Reason

MAX_CHANGES: Final = 1024
"""Policies for peers that were set while the broker runs."""
NAMES_KEPT: Final = 4096
KEPT_S: Final = 60.0
"""For so long, and so many names, it is known what was left of a session's limits: a new process gets no new burst."""
_SETTINGS: Final = tuple(field.name for field in msgspec.structs.fields(Policy))


class Over(NamedTuple):
    """A session is over a limit."""

    limit: str
    """Its name, as the configuration has it."""
    wait_s: float
    """When it may go on."""


ERROR_BUDGET: Final = "error_budget"
"""The limit of those who have broken too many rules."""


class Limits:
    """What one session has left of what its policy gives; None where there is no limit.

    Args:
        policy: what it gives.
    """

    __slots__ = (
        "_barred_s",
        "_barred_until",
        "_renewed",
        "down",
        "event_bytes",
        "events",
        "floods",
        "policy",
        "queue_bytes",
        "replay_bytes",
        "topics",
        "up_bytes",
    )

    def __init__(self, policy: Policy, now: float) -> None:
        self.policy = policy
        self.replay_bytes = policy.replay_bytes
        """Bytes of replayed events that are still free."""
        self.topics: dict[TopicPolicy, Bucket] = {}
        self.events = _allowance(policy.events_per_s, policy.events_burst, now)
        self.up_bytes = _allowance(policy.up_bytes_per_s, policy.up_bytes_per_s * policy.bytes_burst_s, now)
        self.down = _allowance(policy.down_bytes_per_s, policy.down_bytes_per_s * policy.bytes_burst_s, now)
        self.event_bytes: float = policy.event_bytes or inf
        """The largest payload that it may send, where that is less than anybody may."""
        self.queue_bytes = policy.queue_bytes
        """Bytes per lane that may wait for it; 0 for as many as for anybody."""
        self.floods = floods_of(policy, now)
        """What its process may say at all, where that speaks for it alone; None without a limit."""
        self._renewed = now
        self._barred_until = 0.0
        self._barred_s = 0.0
        """How long it was to send nothing, at the last `refill`."""

    def bar(self, until: float) -> None:
        """It may send nothing until then, whatever is left."""
        self._barred_until = max(self._barred_until, until)

    @property
    def barred(self) -> bool:
        """Whether it may send nothing, as of the last `refill`."""
        return self._barred_s > 0.0

    def renew(self, now: float) -> None:
        """Another session begins with these: it may replay one outbox again, once a minute."""
        if now - self._renewed >= KEPT_S:
            self._renewed = now
            self.replay_bytes = self.policy.replay_bytes

    def refill(self, now: float, late_s: float | None = None) -> None:
        """Let what it may send grow until `now`; see `Allowance.refill`."""
        if self._barred_until:
            self._barred_s = max(0.0, self._barred_until - now)
            if not self._barred_s:
                self._barred_until = 0.0
        if self.events is not None:
            self.events.refill(now, late_s)
        if self.up_bytes is not None:
            self.up_bytes.refill(now, late_s)

    def over(self, lane: Lane) -> Over | None:
        """The limit that keeps it from sending one more event; the one that it has to wait longest for."""
        if self._barred_s:
            return Over(ERROR_BUDGET, self._barred_s)
        events, up_bytes = self.events, self.up_bytes
        over: Over | None = None
        if events is not None and not events.has(lane):
            over = Over("events_per_s", events.wait_s(lane))
        if up_bytes is not None and not up_bytes.has(lane):
            wait_s = up_bytes.wait_s(lane)
            if over is None or wait_s > over.wait_s:
                over = Over("up_bytes_per_s", wait_s)
        return over

    def eased(self, lane: Lane) -> bool:
        """Whether it is well within its limits on a lane."""
        return not any(each is not None and each.is_low(lane) for each in (self.events, self.up_bytes))

    def charge(self, lane: Lane, size_bytes: float) -> None:
        """It has sent an event."""
        if self.events is not None:
            self.events.take(lane, 1.0)
        if self.up_bytes is not None:
            self.up_bytes.take(lane, size_bytes)

    def change(self, policy: Policy, now: float) -> None:
        """Another policy holds from now on; what it has taken of a limit that stays is not given back."""
        before, self.policy = self.policy, policy
        self.event_bytes = policy.event_bytes or inf
        self.queue_bytes = policy.queue_bytes
        fresh = Limits(policy, now)
        if before.replay_bytes != policy.replay_bytes:
            self.replay_bytes = policy.replay_bytes
        if (before.events_per_s, before.events_burst) != (policy.events_per_s, policy.events_burst):
            self.events = fresh.events
        if rates_of(self.floods) != rates_of(fresh.floods):
            self.floods = fresh.floods
        if (before.up_bytes_per_s, before.bytes_burst_s) != (policy.up_bytes_per_s, policy.bytes_burst_s):
            self.up_bytes = fresh.up_bytes
        if (before.down_bytes_per_s, before.bytes_burst_s) != (policy.down_bytes_per_s, policy.bytes_burst_s):
            self.down = fresh.down


def _allowance(rate_per_s: float, burst: float, now: float) -> Allowance | None:
    return Allowance(rate_per_s, burst, now) if rate_per_s else None


class Policies:
    """The policies of all peers.

    Args:
        config: those of the configuration.
    """

    def __init__(self, config: PolicyConfig) -> None:
        self._by_role = {Role.CLIENT: config.client, Role.SERVER: config.server}
        self._peers = tuple(config.peers)
        self._left: dict[str, tuple[float, Limits]] = {}
        """By name: when the last session ended, and what was left of its limits; the earliest end first."""
        self.changes: dict[str, PeerPolicy] = {}
        """What was set while the broker runs, by pattern, the latest last; it comes before the configuration."""
        self.ended = 0
        """Events that ended since they were over a limit of their topic, or a rule does not allow them."""
        self._topics: dict[Role, PatternTable[TopicPolicy]] = {}
        for topic in config.topics:
            self._topics.setdefault(Role(topic.role), PatternTable()).add(topic.match, topic)

    def of(self, name: str, role: Role) -> Policy:
        """The policy of a peer."""
        policy = self._by_role[role]
        for each in (*reversed(self.changes.values()), *self._peers):
            if matches(each.match, name):
                changes = {key: value for key in _SETTINGS if (value := getattr(each, key)) is not None}
                return msgspec.structs.replace(policy, **changes)
        return policy

    def departed(self, name: str, limits: Limits | None, now: float) -> None:
        """A session has ended: whoever comes back under its name soon has what is left of its limits."""
        if limits is None:
            return
        self._left.pop(name, None)
        self._left[name] = (now, limits)
        while len(self._left) > NAMES_KEPT or next(iter(self._left.values()))[0] < now - KEPT_S:
            del self._left[next(iter(self._left))]

    def limits(self, name: str, role: Role, now: float, predecessor: Limits | None = None) -> Limits | None:
        """The limits of a new session; None if nothing that it does is limited.

        Args:
            predecessor: those of the session whose name it takes over.
        """
        if role is Role.GATEWAY:
            return None
        policy = self.of(name, role)
        at, left = self._left.pop(name, (now, None))
        if predecessor is None and at >= now - KEPT_S:
            predecessor = left
        if predecessor is not None:
            if predecessor.policy != policy:
                predecessor.change(policy, now)
            predecessor.renew(now)
            return predecessor
        fresh = Limits(policy, now)
        limited = (
            policy.events_per_s,
            policy.up_bytes_per_s,
            policy.down_bytes_per_s,
            policy.event_bytes,
            policy.queue_bytes,
        )
        return fresh if any(limited) or fresh.floods is not None or role in self._topics else None

    def event_bytes(self, name: str, role: Role, general_bytes: int) -> int:
        """The largest payload that a peer may send.

        Args:
            general_bytes: what anybody may.
        """
        if role is Role.GATEWAY:
            return general_bytes
        return min(general_bytes, self.of(name, role).event_bytes or general_bytes)

    def change(self, match: str, settings: Mapping[str, Any]) -> None:
        """Set other limits for the peers whose names match, or, without settings, those of the configuration again.

        Raises:
            ValueError: there is no such setting, a value is out of its bounds, or there are too many changes.
        """
        if not settings:
            self.changes.pop(match, None)
            return
        if len(self.changes) >= MAX_CHANGES and match not in self.changes:
            raise ValueError(f"{len(self.changes)} changes of policies, the limit: take some back")
        try:
            changed = msgspec.convert({"match": match, **settings}, PeerPolicy)
        except msgspec.ValidationError as error:
            raise ValueError(str(error).replace("`", "")) from None
        # The latest counts first.
        self.changes.pop(match, None)
        self.changes[match] = changed

    def over_topic(self, limits: Limits, role: Role, topic: str, now: float) -> tuple[Outcome, Reason] | None:
        """How an event ends that is over a limit of its topic; None if it is within all of them."""
        table = self._topics.get(role)
        if table is None:
            return None
        for rule in table.match(topic):
            bucket = limits.topics.get(rule)
            if bucket is None:
                bucket = limits.topics[rule] = Bucket(rule.events_per_s, rule.burst, now)
            if not bucket.take(1.0, now):
                self.ended += 1
                outcome = Outcome.DROPPED if rule.over == "drop" else Outcome.REFUSED
                return outcome, Reason.TOPIC_LIMIT
        return None
