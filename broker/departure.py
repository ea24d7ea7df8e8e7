"""Departures: what becomes of a receiver's parts when it is gone. They go to somebody else, or they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from lanebus.broker.attachment import Entry
from lanebus.broker.egress import Egress, PartEnded
from lanebus.broker.events import Event
from lanebus.broker.latest import note_all_queued
from lanebus.broker.sessions import Session, under_way
from lanebus.broker.trial import MAX_FAILURES, Trial, Verdict, accept, judge
from lanebus.wire.batches import DownEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

DEAD_REMEMBERED: Final = 1000
"""Poisonous parts that are remembered for `lanebus dead`."""

_decoder: Final = msgspec.msgpack.Decoder(DownEvent)


class Dead(NamedTuple):
    """A part that its receiver's processes did not survive."""

    at: float
    """When it was given up, on the broker's clock."""
    sender: str
    receiver: str
    lane: Lane
    number: int
    topic: str
    payload_bytes: int
    deliveries: int


class Taken(NamedTuple):
    """Parts that were taken from one session on one lane, to be given to another."""

    sent: list[tuple[Event, int]]
    """Those that it was sent and did not settle, oldest first, with how often each was delivered."""
    fresh: list[Event]
    """Those that it was never sent, oldest first."""


def _every(_: Event) -> bool:
    return True


class Departures:
    """Ends sessions as receivers."""

    def __init__(self, egress: Egress, part_ended: PartEnded) -> None:
        self._egress = egress
        self._part_ended = part_ended
        self.dead: deque[Dead] = deque(maxlen=DEAD_REMEMBERED)

    def end(self, session: Session, now: float, unsent: Reason) -> None:
        """Nobody comes after `session`: what it was sent ends as unknown, the rest as refused, for `unsent`."""
        for lane in LANES:
            receiving = session.receiving[lane]
            sent, queued = _withdraw(session, lane, _every)
            for event in (*sent, *receiving.suspects):
                self._part_ended(event, Outcome.UNKNOWN, Reason.RECEIVER_GONE, now)
            for event in (*queued, *receiving.waiting):
                self._part_ended(event, Outcome.REFUSED, unsent, now)
            self._egress.unpause(receiving, lane)
            receiving.clear()

    def inherit(self, old: Session, new: Session, now: float) -> None:
        """A new process has taken the name: it gets what the old one had not settled, in order."""
        verdict = self.judge(old)
        for lane in LANES:
            before, after = old.receiving[lane], new.receiving[lane]
            taken = self.take(old, lane, _every)
            after.paused = before.paused
            after.dropped = before.dropped
            after.superseded, after.expired = before.superseded, before.expired
            after.gaps, after.tellers, after.untold = before.gaps, before.tellers, before.untold
            before.paused = {}
            before.clear()
            self.give(new, lane, taken, verdict, now, is_another=not old.attachment.expected)
        self._egress.trials.begin(new, now)

    def judge(self, session: Session) -> Verdict:
        """The process of a session has ended, or is taken to have: what that says of the parts it was sent."""
        return judge(under_way(session), session.trial)

    def take(self, session: Session, lane: Lane, which: Callable[[Event], bool]) -> Taken:
        """Take those parts off a session for which `which` holds; others keep their places."""
        receiving = session.receiving[lane]
        deliveries = receiving.deliveries
        sent, queued = _withdraw(session, lane, which)
        for event in sent:
            numbers = receiving.unsettled[event.origin.origin]
            del numbers[event.number]
            if not numbers:
                del receiving.unsettled[event.origin.origin]
        receiving.committed_bytes -= sum(event.size for event in chain(sent, queued))
        suspects, receiving.suspects = _split(receiving.suspects, which)
        waiting = receiving.waiting.take(which)
        receiving.waiting_bytes -= sum(event.size for event in waiting)
        # One that was to be tried next had not left yet.
        tried = [(event, deliveries.get(event, 1)) for event in sent]
        tried += [(event, deliveries[event] - 1) for event in queued if event in deliveries]
        tried += [(event, deliveries[event]) for event in suspects]
        fresh = [event for event in queued if event not in deliveries]
        for event, _ in tried:
            deliveries.pop(event, None)
            if session.trial is not None:
                session.trial.group[lane].discard(event)
        return Taken(tried, [*fresh, *waiting])

    def give(
        self,
        session: Session,
        lane: Lane,
        taken: Taken,
        verdict: Verdict,
        now: float,
        *,
        is_another: bool = True,
    ) -> None:
        """Give a session parts that another one did not settle; `Trials.begin` lets them go.

        What the other one had been sent may be what ended it. It comes marked as redelivered, in front of all that the
        session has not been sent yet, and in rounds, so that it is found which part ends processes.

        Args:
            verdict: what the end of the other one's process says of them, from before they were taken.
            is_another: whether it is another process than they were for; not where that had not come back yet.
        """
        receiving = session.receiving[lane]
        suspects: list[Event] = []
        for event, deliveries in taken.sent:
            if _volatile(event):
                self._part_ended(event, Outcome.UNKNOWN, Reason.RECEIVER_GONE, now)
            elif _present(event):
                self._part_ended(event, Outcome.UNKNOWN, Reason.PROCESS_ENDED, now)
            elif verdict.failures.get(event, 0) >= MAX_FAILURES:
                self._poison(event, session, deliveries, now)
            else:
                suspects.append(event)
                receiving.deliveries[event] = deliveries
        if suspects:
            receiving.suspects.extend(suspects)
            if session.trial is None:
                session.trial = Trial()
            accept(session.trial, verdict, lane, suspects)
        fresh = taken.fresh
        if is_another and any(map(_present, fresh)):
            for event in filter(_present, fresh):
                self._part_ended(event, Outcome.REFUSED, Reason.PROCESS_ENDED, now)
            fresh = [event for event in fresh if not _present(event)]
        receiving.waiting.extend(fresh)
        receiving.waiting_bytes += sum(event.size for event in fresh)
        self._egress.overflow.note(receiving)
        receiving.gated = bool(receiving.suspects or receiving.waiting)

    def _poison(self, event: Event, receiver: Session, deliveries: int, now: float) -> None:
        shown = _decoder.decode(event.wire)
        self.dead.append(
            Dead(
                now,
                event.origin.name,
                receiver.name,
                event.lane,
                event.number,
                shown.topic,
                len(shown.payload),
                deliveries,
            )
        )
        self._part_ended(event, Outcome.REFUSED, Reason.POISON, now)


def _present(event: Event) -> bool:
    return event.terms is not None and event.terms.present


def _volatile(event: Event) -> bool:
    return event.terms is not None and event.terms.volatile


def _split(events: deque[Event], which: Callable[[Event], bool]) -> tuple[list[Event], deque[Event]]:
    """Those for which `which` holds, and the others."""
    return [event for event in events if which(event)], deque(event for event in events if not which(event))


def _withdraw(
    session: Session, lane: Lane, which: Callable[[Event], bool]
) -> tuple[list[Event], list[Event]]:
    """Parts that a session was sent, oldest first; and those queued for it, which are taken off its link."""
    receiving = session.receiving[lane]
    out = session.attachment.outbound[lane]
    unsettled = chain.from_iterable(numbers.values() for numbers in receiving.unsettled.values())
    sent = sorted(filter(which, unsettled), key=attrgetter("arrived"))
    queued: list[Event] = []
    kept: list[Entry] = []
    resent = 0
    for position, (event, sessions) in enumerate(out.queue):
        if session in sessions and which(event):
            others = tuple(other for other in sessions if other is not session)
            if others:
                kept.append((event, others))
                resent += position < out.resent
            else:
                out.queued_bytes -= event.size
            # One that is to be sent again was transmitted, or was settled while it waited for that.
            if position >= out.resent:
                queued.append(event)
        else:
            kept.append((event, sessions))
            resent += position < out.resent
    out.resent = resent
    out.queue.clear()
    out.queue.extend(kept)
    note_all_queued(out)
    return sent, queued
