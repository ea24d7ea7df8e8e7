"""Failover: what an instance of a service was to get goes to another one when its links have been gone for a time.

All that the instance has not settled moves, and moves together: its senders' events stay in order, and come before
anything newer. What it was sent comes to the other as redelivered; when the instance is back it is told what is not its
own any more, and handles nothing before it knows.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from lanebus.broker.attachment import Attachment
from lanebus.broker.departure import Departures, Taken
from lanebus.broker.directory import Directory
from lanebus.broker.egress import Egress
from lanebus.broker.events import Event, moved_wire
from lanebus.broker.sessions import Served, Session
from lanebus.broker.timers import Timers
from lanebus.wire.batches import DownEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Revoked
from lanebus.wire.names import Role
from lanebus.wire.runs import runs_of

_decoder: Final = msgspec.msgpack.Decoder(DownEvent)


class Failover:
    """Moves the events of services between instances."""

    def __init__(
        self,
        directory: Directory,
        egress: Egress,
        departures: Departures,
        timers: Timers,
        failover_s: float,
    ) -> None:
        self._directory = directory
        self._egress = egress
        self._departures = departures
        self._timers = timers
        self._failover_s = failover_s
        self._gone: dict[Session, None] = {}
        """Instances without links for longer than `failover_s`."""

    def away(self, attachment: Attachment, now: float) -> None:
        """An attachment has lost its links."""
        if attachment.role is not Role.SERVER:
            return
        since = attachment.away_since

        def give_up(now: float) -> None:
            session = attachment.sessions.get(0)
            if session is not None and attachment.away_since == since:
                self._gone[session] = None
                self._directory.catalog.set_away(session, away=True)
                self._move(session, now)

        self._timers.at(now + self._failover_s, give_up)

    def back(self, attachment: Attachment, now: float) -> None:
        """A server has links: it is chosen again, and may take what another cannot."""
        session = attachment.sessions.get(0)
        if session is not None and session in self._gone:
            del self._gone[session]
            self._directory.catalog.set_away(session, away=False)
        self.retry(now)

    def leave(self, attachment: Attachment, now: float) -> None:
        """An attachment says goodbye: nobody waits for it."""
        session = attachment.sessions.get(0)
        if session is not None and attachment.role is Role.SERVER:
            self._directory.catalog.set_away(session, away=True)
            self._move(session, now)

    def retry(self, now: float) -> None:
        """There is another instance: it may stand in for those that are gone."""
        for session in list(self._gone):
            if session.ended:
                del self._gone[session]
            else:
                self._move(session, now)

    def revoked(self, attachment: Attachment) -> list[Revoked]:
        """What an attachment that comes back was sent, and others have got since."""
        found = []
        for session in attachment.sessions.values():
            for (sender, lane), numbers in list(session.revoked.items()):
                base = sender.sending[lane].base
                numbers[:] = [number for number in numbers if number >= base]
                if numbers:
                    found.append(Revoked(session.index, sender.origin, lane, runs_of(numbers)))
                else:
                    del session.revoked[sender, lane]
        return found

    def _move(self, session: Session, now: float) -> None:
        verdict = self._departures.judge(session)
        others: dict[Session, None] = {}
        for lane in LANES:
            targets: dict[Event, dict[str, Session]] = {}

            def movable(event: Event, targets: dict[Event, dict[str, Session]] = targets) -> bool:
                if event not in targets:
                    targets[event] = self._targets(session, event)
                return bool(targets[event])

            taken = self._departures.take(session, lane, movable)
            if taken.sent or taken.fresh:
                self._note_senders(lane, taken, targets)
                for event in (*(event for event, _ in taken.sent), *taken.fresh):
                    # Whoever gets it now is not known to have had it.
                    event.wire = moved_wire(event.wire)
                for event, _ in taken.sent:
                    session.revoked.setdefault((event.origin, lane), []).append(event.number)
                for target, parts in _by_target(taken, targets).items():
                    others[target] = None
                    self._departures.give(target, lane, parts, verdict, now)
                self._egress.refill(session, lane, now)
        for target in others:
            self._egress.trials.begin(target, now)

    def _targets(self, session: Session, event: Event) -> dict[str, Session]:
        if event.shared or not (event.to is None or event.to.startswith("service:")):
            return {}
        topic = _decoder.decode(event.wire).topic
        return self._directory.instead_of(session, event.origin, topic, event.to)

    def _note_senders(self, lane: Lane, taken: Taken, targets: dict[Event, dict[str, Session]]) -> None:
        """Tell each sender who serves it now, from its first event on that has moved."""
        first: dict[tuple[Session, str], tuple[Session, int]] = {}
        for event in (*(event for event, _ in taken.sent), *taken.fresh):
            for service, target in targets[event].items():
                key = event.origin, service
                first[key] = target, min(event.number, first.get(key, (target, event.number))[1])
        for (sender, service), (target, number) in first.items():
            if not sender.ended:
                since = [sending.next_routed for sending in sender.sending]
                since[lane] = min(number, since[lane])
                self._directory.note_served(sender, service, Served(target.name, since, moved=True))


def _by_target(taken: Taken, targets: dict[Event, dict[str, Session]]) -> dict[Session, Taken]:
    """What each of the other instances gets; one for each service that the event was for."""
    found: dict[Session, Taken] = defaultdict(lambda: Taken([], []))
    for event, deliveries in taken.sent:
        for target in _receivers(event, targets):
            found[target].sent.append((event, deliveries))
    for event in taken.fresh:
        for target in _receivers(event, targets):
            found[target].fresh.append(event)
    return found


def _receivers(event: Event, targets: dict[Event, dict[str, Session]]) -> set[Session]:
    receivers = set(targets[event].values())
    more = len(receivers) - 1
    event.remaining += more
    event.origin.sending[event.lane].parts.accepted += more
    return receivers
