"""What goes out: accepted events by lane, those held for a paused destination or a limit, and what to send again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Final

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.event import Unsettled
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.outlane import OutLane, Window
from lanebus.adapters.requests import Renumbered
from lanebus.adapters.session import SessionCore
from lanebus.adapters.terms import Terms
from lanebus.adapters.throttle import Hold, ThrottledLane
from lanebus.wire.batches import EncodedBatch
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import LANES, Lane, LaneTiming
from lanebus.wire.messages import Limits, Settlement, Throttled, Welcome, check_settlement
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.reports import WaitingLane
from lanebus.wire.runs import Lookup

EXPIRY_S: Final = 0.1
"""Shortest time between two looks through the queues for what is late and cannot leave."""


class Outgoing:
    """The sending half of an attachment.

    Args:
        sessions: the attachment's sessions by index.
        clock: for the events' stamps.
        tell: is told of events that ended before they left.
    """

    def __init__(
        self,
        sessions: dict[int, SessionCore],
        clock: BrokerClock,
        tell: Callable[[SessionCore, Unsettled], None],
    ) -> None:
        self._tell = tell
        self._next_look = -inf
        self._paused_deadline = inf
        """No paused event is late before this."""
        self._sessions = sessions
        self._clock = clock
        self._paused: dict[tuple[int, Lane, str], list[OutEvent]] = {}
        self._holds: dict[tuple[int, Lane], Hold] = {}
        self._limits = Limits()
        self.window = Window()
        self.lanes = [OutLane(lane, self.window) for lane in LANES]

    def adopt(self, welcome: Welcome) -> None:
        """Send as the broker has said."""
        window = self.window
        window.batches = welcome.window_batches
        window.bytes = welcome.window_bytes
        window.batch_bytes = welcome.batch_bytes
        window.batch_events = welcome.limits.batch_events
        self._fit(welcome.limits)
        window.threshold_bytes = welcome.compression_threshold_bytes
        window.linked = welcome.linked is True
        for lane, interval_ms, hold_ms in zip(
            self.lanes, welcome.intervals_ms, welcome.holds_ms, strict=True
        ):
            lane.timing = LaneTiming(interval_ms / 1e3, hold_ms / 1e3)

    def _fit(self, limits: Limits) -> None:
        """End what has never left and this broker would refuse: it was accepted before its limits were known."""
        before, self._limits = self._limits, limits
        if limits.event_bytes >= before.event_bytes and limits.destinations >= before.destinations:
            return
        for session in self._sessions.values():
            for lane in self.lanes:
                for event in list(session.outbox.events(lane.lane)):
                    reason = _unfit(event, limits)
                    if reason is not None and not event.transmitted:
                        self._withhold(event, Outcome.REFUSED, reason)
        for lane in self.lanes:
            lane.keep(self._is_unsettled)
        for held in self._paused.values():
            held[:] = filter(self._is_unsettled, held)
        for hold in self._holds.values():
            hold.events = deque(filter(self._is_unsettled, hold.events))

    def _is_unsettled(self, event: OutEvent) -> bool:
        session = self._sessions.get(event.session)
        return session is not None and event.number in session.outbox.unsettled[event.lane]

    def put(self, event: OutEvent) -> None:
        """Queue an accepted event, or hold it while its destination is paused.

        A newer value takes the place of an older one that has not left; a volatile event that found no room is dropped.
        """
        terms = event.terms
        if terms is None and not self._paused and not self._holds:
            self.lanes[event.lane].put(event)
            return
        if terms is not None and self._placed(event, terms):
            return
        if self._paused:
            held = self._paused.get((event.session, event.lane, _pause_key(event.to)))
            if held is not None:
                held.append(event)
                if terms is not None:
                    terms.paused = True
                    self._paused_deadline = min(self._paused_deadline, terms.deadline)
                return
        self._queue(event)

    def _queue(self, event: OutEvent) -> None:
        """Queue an event, or hold it while its session is over a limit on the lane."""
        hold = self._holds.get((event.session, event.lane)) if self._holds else None
        if hold is None:
            self.lanes[event.lane].put(event)
            return
        hold.events.append(event)
        if event.terms is not None:
            event.terms.paused = True
            self._paused_deadline = min(self._paused_deadline, event.terms.deadline)

    def _placed(self, event: OutEvent, terms: Terms) -> bool:
        """Whether the event needs no place of its own at the end of a queue."""
        session = self._sessions[event.session]
        outbox = session.outbox
        older = terms.replaces
        if older is None or older.terms is None:
            if not terms.volatile or outbox.held_bytes <= outbox.limit_bytes:
                return False
            outbox.turned_away += 1
            self._withhold(event, Outcome.DROPPED, Reason.NO_ROOM)
            return True
        terms.replaces = None
        terms.paused = older.terms.paused
        freed_bytes = older.size
        self._tell(session, outbox.take_place(event, older))
        if terms.paused:
            self._paused_deadline = min(self._paused_deadline, terms.deadline)
        else:
            lane = self.lanes[event.lane]
            lane.queued_bytes += event.size - freed_bytes
            lane.deadline = min(lane.deadline, terms.deadline)
        return True

    def _withhold(self, event: OutEvent, outcome: Outcome, reason: Reason) -> None:
        session = self._sessions.get(event.session)
        if session is not None and event.number in session.outbox.unsettled[event.lane]:
            self._tell(session, session.outbox.withhold(event, outcome, reason))

    @property
    def expires_at(self) -> float:
        """When to look for what is late and cannot leave."""
        return max(self._next_look, min(self._paused_deadline, *(lane.deadline for lane in self.lanes)))

    def expire(self, now: float) -> None:
        """End what is late in every queue; at most ten times a second, since it goes through all of them."""
        if now < self.expires_at:
            return
        self._next_look = now + EXPIRY_S
        for lane in self.lanes:
            if lane.deadline <= now:
                lane.expire(now)
                self._end_late(lane)
        if self._paused_deadline <= now:
            self._paused_deadline = inf
            for paused in self._paused.values():
                paused[:] = self._in_time(paused, now)
            for hold in self._holds.values():
                hold.events = deque(self._in_time(hold.events, now))

    def _in_time(self, held: Iterable[OutEvent], now: float) -> list[OutEvent]:
        """Those that are not late; the others end, unless they have left before."""
        kept = []
        for event in held:
            if event.transmitted:
                kept.append(event)
                continue
            if event.terms is not None and event.terms.deadline <= now:
                self._withhold(event, *event.terms.late)
                continue
            if event.terms is not None:
                self._paused_deadline = min(self._paused_deadline, event.terms.deadline)
            kept.append(event)
        return kept

    def _end_late(self, lane: OutLane) -> None:
        late, lane.late = lane.late, []
        for event in late:
            if event.terms is not None:
                self._withhold(event, *event.terms.late)

    def pause(self, session: int, lane: Lane, destination: str) -> None:
        """Hold what a session sends to one full destination."""
        if session not in self._sessions:  # closed while this was on its way
            return
        self._paused.setdefault((session, lane, destination), [])

    def unpause(self, session: int, lane: Lane, destination: str) -> None:
        """The destination has room again."""
        for event in self._paused.pop((session, lane, destination), ()):
            self._queue(event)

    def throttle(self, entries: Iterable[Throttled], now: float) -> None:
        """Sessions are over a limit on a lane: what the broker has not accepted leaves again when it may."""
        latest = {(entry.session, entry.lane): entry for entry in entries if entry.session in self._sessions}
        queued = [
            lane.withdraw({index for index, each in latest if each is lane.lane}) for lane in self.lanes
        ]
        for entry in latest.values():
            self._throttle(entry, queued[entry.lane].get(entry.session, []), now)

    def _throttle(self, entry: Throttled, queued: list[OutEvent], now: float) -> None:
        session = self._sessions[entry.session]
        hold = self._holds.setdefault((entry.session, entry.lane), Hold())
        back = [
            event
            for number, event in session.outbox.unsettled[entry.lane].items()
            if number >= entry.number and event.transmitted
        ]
        for event in back:
            if event.terms is not None and not event.replayed:
                event.terms.bounced = True
        events = dict.fromkeys([*back, *queued, *hold.events])
        hold.throttled(entry, events, now)
        for event in events:
            if event.terms is not None:
                event.terms.paused = True
                if not event.transmitted:
                    self._paused_deadline = min(self._paused_deadline, event.terms.deadline)

    def release(self, now: float) -> None:
        """Let go what a limit held back, at its pace."""
        for key, hold in list(self._holds.items()):
            lane = self.lanes[key[1]]
            for event in hold.release(now, lane.ratio):
                # It may have been accepted after all, on links that were lost, and be settled by now.
                if event.number in self._sessions[event.session].outbox.unsettled[event.lane]:
                    lane.put(event)
                    lane.released[event.session] = now
            if hold.is_over(now):
                del self._holds[key]

    def turn(self, now: float) -> None:
        """Let go what a limit held back for long enough, and end what is late, of that too."""
        if self._holds:
            self.release(now)
        self.expire(now)

    @property
    def turn_at(self) -> float:
        """When `turn` is next wanted."""
        return min(self.expires_at, *(hold.due for hold in self._holds.values()), inf)

    def throttled(self, now: float) -> list[ThrottledLane]:
        """The lanes that are held to a limit."""
        return [
            ThrottledLane(
                self._sessions[index].name, lane, hold.limit, len(hold.events), max(0.0, hold.next_at - now)
            )
            for (index, lane), hold in self._holds.items()
        ]

    def waiting(self) -> dict[int, list[WaitingLane]]:
        """What may not leave now, by session: held for a limit or a pause, or queued behind a full window."""
        sums: dict[tuple[int, Lane], list[int]] = {}
        held: list[Iterable[OutEvent]] = [lane.queue for lane in self.lanes if lane.window_full]
        held += self._paused.values()
        held += [hold.events for hold in self._holds.values()]
        for events in held:
            for event in events:
                figures = sums.setdefault((event.session, event.lane), [0, 0])
                figures[0] += 1
                figures[1] += event.size
        found: dict[int, list[WaitingLane]] = {}
        for (session, lane), (count, size) in sorted(sums.items()):
            found.setdefault(session, []).append(WaitingLane(lane, count, size))
        return found

    def batches(self, lane: Lane, now: float, *, incarnation: int, ack: int) -> Iterator[EncodedBatch]:
        """Everything queued on a lane as batches, as far as the window allows."""
        out = self.lanes[lane]
        while (
            batch := out.next_batch(now, self._clock, self._sessions, incarnation=incarnation, ack=ack)
        ) is not None:
            yield batch
        if out.late:
            self._end_late(out)

    def acknowledged(self, lane: Lane, number: int) -> None:
        """The broker has received every batch of a lane up to `number`.

        Raises:
            ProtocolError: that many were never sent.
        """
        if not self.lanes[lane].acknowledged(number):
            raise ProtocolError(ErrorNumber.BAD_ACK, f"batch {number} acknowledged, fewer were sent")

    def settle(self, settlements: Iterable[Settlement]) -> None:
        """Events have ended.

        Raises:
            ProtocolError: a settlement names an end that is none.
        """
        lookup = Lookup()
        for settlement in settlements:
            check_settlement(settlement)
            session = self._sessions.get(settlement.session)
            if session is not None:
                ended = session.outbox.settle(
                    settlement.lane, settlement.outcome, settlement.reason, settlement.runs, lookup
                )
                for each in ended:
                    self._tell(session, each)

    def discard(self, session: int) -> None:
        """A session was closed: what it has queued does not leave any more."""
        for lane in self.lanes:
            lane.discard(session)
        for key in [key for key in self._paused if key[0] == session]:
            del self._paused[key]
        for each in LANES:
            self._holds.pop((session, each), None)

    def resume(self, renumbered: Renumbered) -> None:
        """The broker knows the attachment: send again what it has not acknowledged; it knows what it has seen."""
        self._forget_pauses()
        for lane in self.lanes:
            # One that was to leave again can be in a batch that is not acknowledged, too.
            events = dict.fromkeys(lane.unsent())
            for event in events:
                event.after = renumbered(event.after)
            lane.relink(sorted(events, key=_order))

    def restart(self, renumbered: Renumbered) -> None:
        """The broker does not know the attachment: replay all that is unsettled."""
        self._forget_pauses()
        for lane in self.lanes:
            events = [
                event for session in self._sessions.values() for event in session.outbox.events(lane.lane)
            ]
            for event in events:
                event.after = renumbered(event.after)
                event.replayed = event.transmitted
            # What waited for a pause to end has never left; what did leave comes first, as it did.
            lane.relink(sorted(events, key=_replay_order))

    def _forget_pauses(self) -> None:
        """The broker says again what it wants held."""
        for held in (*self._paused.values(), *(hold.events for hold in self._holds.values())):
            for event in held:
                self.lanes[event.lane].put(event)
        self._paused.clear()
        self._holds.clear()


def _unfit(event: OutEvent, limits: Limits) -> Reason | None:
    """Why a broker with these limits would refuse an event."""
    if len(event.payload) > limits.event_bytes:
        return Reason.TOO_LARGE
    if isinstance(event.to, list) and len(event.to) > limits.destinations:
        return Reason.BAD_DESTINATION
    return None


def _pause_key(to: str | list[str] | None) -> str:
    return to if isinstance(to, str) else ""


def _order(event: OutEvent) -> tuple[int, int]:
    return event.session, event.number


def _replay_order(event: OutEvent) -> tuple[bool, int]:
    return not event.replayed, event.after
