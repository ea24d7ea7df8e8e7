"""The latest values in the queues to receivers: a newer one takes the place of an older one that was not sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from lanebus.broker.attachment import Attachment, Entry, Outbound
from lanebus.broker.events import Event
from lanebus.broker.gaps import replaces
from lanebus.broker.sessions import Receiving, Session
from lanebus.wire.modes import SUPERSEDED
from lanebus.wire.outcomes import Outcome, Reason

Groups = tuple[tuple[Attachment, tuple[Session, ...]], ...]
"""Receivers, by the attachment that carries them."""


class Latest:
    """Puts newer values where older ones stand.

    Args:
        part_ended: books the end of an older one's part.
        grew: what waits for a session has become more by a larger value.
    """

    def __init__(
        self,
        part_ended: Callable[[Event, Outcome, Reason, float], None],
        grew: Callable[[Session, Event], None],
    ) -> None:
        self._part_ended = part_ended
        self._grew = grew

    def without_places(self, event: Event, groups: Groups) -> Groups:
        """Let a newer value take the places of older ones of its key; the receivers for whom there is none."""
        if event.terms is None or event.terms.key is None:
            return groups
        left = []
        for attachment, sessions in groups:
            rest = self._take_places(attachment.outbound[event.lane], event, event.terms.key, sessions)
            if rest:
                left.append((attachment, rest))
        return tuple(left)

    def _take_places(
        self, out: Outbound, event: Event, key: Hashable, sessions: tuple[Session, ...]
    ) -> tuple[Session, ...]:
        rest = []
        for session in sessions:
            receiving = session.receiving[out.lane]
            # What waits for credit is newer than what has it.
            older = receiving.waiting.replace(key, event)
            if older is None:
                rest.append(session)
                continue
            receiving.waiting_bytes += event.size - older.size
            self._end(receiving, older, event)
            if event.size > older.size:
                self._grew(session, event)
        left: list[Session] = []
        # A copy for several is replaced as a whole, for the same ones; else each has its own, or none.
        for group in (tuple(rest),) if _share_a_place(out, key, rest) else tuple(s.alone for s in rest):
            index = out.places.index((key, group[0]))
            if index is None or len(out.queue[index][1]) != len(group):
                left.extend(group)
            else:
                self._take_queued(out, index, event, group)
        return sessions if len(left) == len(sessions) else tuple(left)

    def _take_queued(self, out: Outbound, index: int, event: Event, sessions: tuple[Session, ...]) -> None:
        older = out.queue[index][0]
        out.queue[index] = (event, sessions)
        out.queued_bytes += event.size - older.size
        note_queued(out, index)
        for session in sessions:
            receiving = session.receiving[out.lane]
            receiving.committed_bytes += event.size - older.size
            replaces(receiving, older, event)
            self._end(receiving, older, event)

    def _end(self, receiving: Receiving, older: Event, newer: Event) -> None:
        # What stands behind it must not be held the longer for it.
        newer.hold_until = min(newer.hold_until, older.hold_until)
        receiving.superseded += 1
        self._part_ended(older, *SUPERSEDED, newer.arrived)


def _share_a_place(out: Outbound, key: Hashable, sessions: list[Session]) -> bool:
    """Whether the last value of `key` for each of several sessions is one and the same entry."""
    places = {out.places.index((key, session)) for session in sessions}
    return len(sessions) > 1 and len(places) == 1 and None not in places


def note_queued(out: Outbound, index: int) -> None:
    """Remember what stands at `index` of a link's queue: its key, for each of its sessions, and its deadline."""
    event, sessions = out.queue[index]
    if event.terms is not None:
        out.expires = min(out.expires, event.terms.deadline)
        if event.terms.key is not None:
            for session in sessions:
                out.places.note((event.terms.key, session), index, event)


def forget_queued(out: Outbound, entry: Entry) -> None:
    """An entry has left its link's queue."""
    event, sessions = entry
    if event.terms is not None and event.terms.key is not None:
        for session in sessions:
            out.places.forget((event.terms.key, session), event)


def note_all_queued(out: Outbound) -> None:
    """A link's queue was made anew; what may have been sent before has no place to give."""
    out.places.restart()
    out.expires = float("inf")
    for index in range(out.resent, len(out.queue)):
        note_queued(out, index)
