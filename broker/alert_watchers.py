"""Alerts on the bus: telling servers that watch of what begins and ends.

Those that last when a server begins to watch and when it has fresh links; from then on, once a turn, what has begun and
ended.
"""

from __future__ import annotations

from lanebus.broker.alerts import Alert, Alerts
from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.sessions import Session
from lanebus.wire.alerts import ALERT_ENTRIES, AlertEntry, AlertNews
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane


class AlertWatchers:
    """Who watches, and what they are to be told at the end of the turn."""

    def __init__(self, outgoing: Outgoing, alerts: Alerts) -> None:
        self._outgoing = outgoing
        self._alerts = alerts
        alerts.listeners.append(self._note)
        self._watchers: dict[Session, bool] = {}
        """Whether each has been told of those that last."""
        self._changes: list[AlertEntry] = []

    def watch(self, session: Session, *, on: bool) -> None:
        """Tell a session of alerts, or no longer."""
        if on:
            self._watchers[session] = False
        else:
            self._watchers.pop(session, None)

    def resumed(self, attachment: Attachment) -> None:
        """An attachment has fresh links: tell it all again, since it may have missed any of it."""
        for session in attachment.sessions.values():
            if session in self._watchers:
                self._watchers[session] = False

    def _note(self, alert: Alert, now: float) -> None:
        if self._watchers:
            self._changes.append(_entry(alert, now))

    def end_turn(self, now: float) -> None:
        """Tell what has begun and ended; who has no link is told when it resumes."""
        if not self._changes and all(self._watchers.values()):
            return
        changes, self._changes = self._changes, []
        for session, is_told in list(self._watchers.items()):
            link = session.attachment.links[Lane.CRITICAL]
            if session.ended:
                del self._watchers[session]
            elif link is not None and is_told:
                self._tell(link, changes, whole=False)
            elif link is not None:
                self._watchers[session] = True
                lasting = [_entry(alert, now) for alert in self._alerts.told_and_lasting()]
                self._tell(link, lasting, whole=True)

    def _tell(self, link: Link, entries: list[AlertEntry], *, whole: bool) -> None:
        count = len(entries)
        for first in range(0, max(count, int(whole)), ALERT_ENTRIES):
            end = first + ALERT_ENTRIES
            news = AlertNews(
                entries=entries[first:end], begins=whole and not first, ends=whole and end >= count
            )
            self._outgoing.control(link, Kind.ALERTS, news)


def _entry(alert: Alert, now: float) -> AlertEntry:
    return AlertEntry(
        alert.kind.value,
        alert.peer,
        alert.lane,
        alert.ended is not None,
        int(alert.lasted_s(now) * 1e3),
        alert.held_back,
        dict(alert.figures),
    )
