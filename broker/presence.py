"""Presence: telling servers that watch which players there are, and what becomes of them.

Changes are told in order, merged into one message a turn; that a player has left is told behind what it sent to the
watcher. Who has fresh links is told all anew: it may not have heard the last ones. A list of thousands is told in
portions, with the changes of that time between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.in_order import LOOK_S, InOrder, News, batches_sent
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.quality import Change
from lanebus.broker.sessions import Session
from lanebus.broker.stalls import away_reason
from lanebus.broker.timers import Timers
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.presence import MAX_PRESENCE_ENTRIES, Presence, PresenceEntry, What
from lanebus.wire.quality import Degree

REASON_CHARACTERS: Final = 200
PORTION: Final = 256
"""Players of a list that are told in one turn, which takes a millisecond."""
STEP_S: Final = 0.005
"""From one portion to the next."""


class Watchers:
    """What servers that watch are to be told at the end of the turn.

    Args:
        sessions: all that there are.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        timers: Timers,
        sessions: Callable[[], Iterator[Session]],
        *,
        recovering: bool,
    ) -> None:
        self._outgoing = outgoing
        self._timers = timers
        self._sessions = sessions
        self._recovering = recovering
        """Whether players of an earlier broker may still come back, who are then only away to those that knew them."""
        self._watchers: dict[Attachment, InOrder[PresenceEntry]] = {}
        self._to_list: dict[Attachment, None] = {}
        """Watchers that are to be told of all players, and of no single changes before that."""
        self._lists: dict[Attachment, list[Session]] = {}
        """Those who have been told of some, and of whom they have not been told; the next ones at the end."""
        self._changes: list[News[PresenceEntry]] = []
        self._looks_at = -inf
        """When a timer brings leavings back that wait."""

    def watch(self, attachment: Attachment, *, on: bool) -> None:
        """A server wants to be told, or no longer."""
        if on:
            self._watchers[attachment] = InOrder()
            self._to_list[attachment] = None
        else:
            self.forget(attachment)

    def forget(self, attachment: Attachment) -> None:
        """An attachment is over."""
        self._watchers.pop(attachment, None)
        self._to_list.pop(attachment, None)
        self._lists.pop(attachment, None)

    def recovered(self, now: float) -> None:
        """The recovery time is over: players who have not come back by now are gone."""
        self._recovering = False
        self._to_list.update(dict.fromkeys(self._watchers))

    def session(self, session: Session, reason: str | None, now: float) -> None:
        """A session has begun (None), or ended for a reason."""
        if reason is None:
            self._note(session, What.JOINED, session.quality.judgement.reason, now)
            return
        if session.role is Role.SERVER:
            self.forget(session.attachment)
        self._note(session, What.LEFT, reason, now)

    def away(self, attachment: Attachment, now: float) -> None:
        """An attachment has lost its links."""
        if self._watchers:
            for session in attachment.sessions.values():
                self._note(session, What.AWAY, away_reason(attachment), now)

    def resumed(self, attachment: Attachment, now: float) -> None:
        """An attachment has fresh links."""
        if attachment in self._watchers:
            self._to_list[attachment] = None
        if self._watchers:
            for session in attachment.sessions.values():
                self._note(session, What.RESUMED, session.quality.judgement.reason, now)

    def quality(self, session: Session, change: Change) -> None:
        """The quality of a session's connection has changed while it has links."""
        self._note(session, What.QUALITY, change.reason, change.at, change.before)

    def _note(
        self, session: Session, what: What, reason: str, now: float, before: Degree | None = None
    ) -> None:
        if self._watchers and _is_player(session):
            entry = _entry(session, what, reason, now, before)
            self._changes.append(News(session.name, entry, now if what is What.LEFT else None))

    def end_turn(self, now: float) -> None:
        """Tell what has changed; who has no link is told all when it resumes."""
        waits = False
        for attachment, in_order in self._watchers.items():
            if attachment in self._to_list:
                in_order.clear()
            elif self._changes or in_order:
                entries = in_order.take(attachment, self._changes)
                waits = waits or len(in_order) > 0
                if entries:
                    self._tell(attachment, entries)
        self._changes.clear()
        if waits and self._looks_at <= now:
            self._looks_at = now + LOOK_S
            self._timers.wake(self._looks_at)
        for attachment in self._to_list:
            self._lists[attachment] = [each for each in self._sessions() if _is_player(each)][::-1]
        if self._lists:
            self._tell_lists(now)
        self._to_list.clear()

    def _tell_lists(self, now: float) -> None:
        """Tell the next portion of every list."""
        for attachment, left in list(self._lists.items()):
            portion = left[: -PORTION - 1 : -1]
            del left[-PORTION:]
            players = [
                _entry(session, What.JOINED, session.quality.judgement.reason, now)
                if session.attachment.away_since is None
                else _entry(session, What.AWAY, away_reason(session.attachment), now)
                for session in portion
                if not session.ended
            ]
            self._tell(attachment, players, begins=attachment in self._to_list, ends=not left)
            if not left:
                del self._lists[attachment]
        if self._lists:
            self._timers.wake(now + STEP_S)

    def _tell(
        self,
        attachment: Attachment,
        entries: list[PresenceEntry],
        *,
        begins: bool = False,
        ends: bool = False,
    ) -> None:
        link = attachment.links[Lane.CRITICAL]
        if link is None:
            return
        count = len(entries)
        for first in range(0, count or 1, MAX_PRESENCE_ENTRIES):
            end = first + MAX_PRESENCE_ENTRIES
            message = Presence(
                entries=entries[first:end],
                begins=begins and first == 0,
                ends=ends and end >= count,
                recovering=self._recovering,
                after=batches_sent(attachment),
            )
            self._outgoing.control(link, Kind.PRESENCE, message)


def _is_player(session: Session) -> bool:
    """Whether it is that of a player, and not of one who is only expected."""
    return session.role is Role.CLIENT and not session.attachment.expected


def _entry(
    session: Session, what: What, reason: str, now: float, before: Degree | None = None
) -> PresenceEntry:
    quality = session.quality
    return PresenceEntry(
        session.name,
        what,
        quality.judgement.degree,
        before or quality.judgement.degree,
        reason[:REASON_CHARACTERS],
        int((now - session.since) * 1e3),
        quality.resumes,
        quality.outages,
        int(quality.longest_s(now) * 1e3),
    )
