"""How one peer's events are sent: each at its own time, in order, kept when the outbox is full."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from lanebus import Closed, OutboxFull, Raw, TooLarge
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_plan import Peer, Plan
from lanebus.wire.lanes import LANES

NEVER: Final = float("inf")

Send = Callable[..., Any]
"""The `send` of an adapter or of a gateway's session."""


def _sleep_on() -> None:
    """Wakes nobody."""


class Sender:
    """Sends the events of one peer through its adapter."""

    __slots__ = (
        "_events",
        "_held",
        "_next",
        "_orders",
        "_plan",
        "_relays",
        "_send",
        "flush",
        "name",
        "sent",
        "wake",
    )

    def __init__(self, plan: Plan, peer: Peer, send: Send, flush: Callable[[], None]) -> None:
        """Send what `plan` has for `peer` with `send`; `flush` ends a tick of its adapter."""
        self.name = peer.name
        self.flush = flush
        self.sent = [0 for _ in LANES]
        """Events that its adapter has accepted, by lane."""
        self.wake: Callable[[], None] = _sleep_on
        """Called when there is something to send earlier than `next_due_s` has said."""
        self._plan = plan
        self._send = send
        self._events = peer.outgoing
        self._next = 0
        self._orders = [plan.orders.get((peer.index, lane)) for lane in LANES]
        self._relays: deque[int] = deque()
        # An event that found the outbox full. It stays the next one: others have been told its number.
        self._held = -1

    def relay(self, index: int) -> None:
        """Send event `index` as soon as possible, ahead of what is not due yet."""
        self._relays.append(index)
        self.wake()

    @property
    def next_due_s(self) -> float:
        """Match time at which there is something to send; `NEVER` when all is sent."""
        if self._held >= 0 or self._relays:
            return 0.0
        if self._next < len(self._events):
            return self._plan.times_s[self._events[self._next]]
        return NEVER

    def send_due(self, match_s: float, most: int) -> bool:
        """Send what is due at match time `match_s`, at most `most` events; False when the outbox is full.

        Raises:
            CliError: an event is larger than the broker takes, the adapter was closed by another process with its
                name, or it numbered the event unexpectedly.
        """
        plan = self._plan
        times_s, lanes, sent_s, numbers = plan.times_s, plan.lanes, plan.sent_s, plan.numbers
        clock = time.monotonic
        for _ in range(most):
            index = self._held
            if index < 0:
                index = self._choose(match_s, times_s)
                if index < 0:
                    return True
            lane = LANES[lanes[index]]
            original = plan.originals.get(index)
            sent_s[index] = clock()
            try:
                number = self._send(
                    plan.topics[index],
                    Raw(plan.payloads[index]),
                    to=plan.to[index],
                    lane=lane,
                    exclude=() if original is None else (plan.peers[plan.senders[original]].name,),
                )
            except OutboxFull:
                self._held = index
                return False
            except TooLarge as error:
                raise CliError(f"{self.name} at {times_s[index]:g} s: {error}", Exit.BAD_DATA) from None
            except Closed as error:
                raise CliError(f"{self.name} at {times_s[index]:g} s: {error}", Exit.UNAVAILABLE) from None
            self._held = -1
            self.sent[lane] += 1
            if number != numbers[index]:
                raise CliError(
                    f"the adapter of {self.name} numbered an event {number} where {numbers[index]} is due",
                    Exit.INTERNAL,
                )
        return True

    def _choose(self, match_s: float, times_s: Any) -> int:
        """The event to be sent next, -1 when none is due."""
        if self._relays:
            index = self._relays.popleft()
        elif self._next < len(self._events) and times_s[self._events[self._next]] <= match_s:
            index = self._events[self._next]
            self._next += 1
        else:
            return -1
        order = self._orders[self._plan.lanes[index]]
        if order is not None:
            # Written down before it is sent: a receiver in another process may see it at once.
            self._plan.numbers[index] = order.next_is(index)
        return index
