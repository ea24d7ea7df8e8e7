"""Watches for senders whose outboxes are full, or nearly so, by what their pings say."""

from __future__ import annotations

from collections.abc import Sequence

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.attachment import Attachment
from lanebus.broker.near_limit import NearLimit
from lanebus.wire.batches import MAX_UNSIGNED
from lanebus.wire.names import Role
from lanebus.wire.outboxes import OutboxReport


class Outboxes:
    """All sessions as senders.

    A ping names the sessions whose outbox is at least half full, or had no room for an event since the ping before; so
    a session that a ping does not name is well again.
    """

    def __init__(self, begin_share: float, alerts: Alerts) -> None:
        self._alerts = alerts
        self._near = NearLimit(AlertKind.OUTBOX_FULL, begin_share, alerts)

    def pinged(self, attachment: Attachment, reports: Sequence[OutboxReport], now: float) -> None:
        """A ping has said how the outboxes of an attachment are."""
        named: set[str] = set()
        for report in reports:
            session = attachment.sessions.get(report.session)
            if session is None or session.name in named:
                continue
            named.add(session.name)
            # What had no room found the outbox full, whatever has become of it since.
            share = 1.0 if report.turned_away else report.held_bytes / report.limit_bytes
            alert = self._alerts.lasting(AlertKind.OUTBOX_FULL, session.name)
            before = 0 if alert is None else int(alert.figures["turned_away"])
            figures = {
                "held_bytes": report.held_bytes,
                "limit_bytes": report.limit_bytes,
                # Peers say what they like: the sum of it has to stay a number that travels.
                "turned_away": min(before + report.turned_away, MAX_UNSIGNED),
            }
            self._near.look(session.name, share, now, figures)
        if attachment.role is not Role.GATEWAY:
            if attachment.name not in named:
                self._end(attachment.name, now)
            return
        full = [
            alert.peer for alert in self._alerts.all_lasting(AlertKind.OUTBOX_FULL) if alert.peer not in named
        ]
        if full:
            for name in {session.name for session in attachment.sessions.values()}.intersection(full):
                self._end(name, now)

    def _end(self, name: str, now: float) -> None:
        alert = self._alerts.lasting(AlertKind.OUTBOX_FULL, name)
        if alert is not None:
            self._alerts.end(alert, now)
