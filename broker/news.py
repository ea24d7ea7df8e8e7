"""News: what servers that watch are told, of players, of instances of services and of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lanebus.broker.alert_watchers import AlertWatchers
from lanebus.broker.alerts import Alerts
from lanebus.broker.attachment import Attachment
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.presence import Watchers
from lanebus.broker.services import Services
from lanebus.broker.sessions import Session
from lanebus.broker.timers import Timers
from lanebus.broker.watching import Watching
from lanebus.wire.messages import Watched


class News:
    """Who watches what.

    Args:
        sessions: all that there are.
        recovering: whether players of an earlier broker may still come back.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        timers: Timers,
        sessions: Callable[[], Iterator[Session]],
        services: Services,
        alerts: Alerts,
        *,
        recovering: bool,
    ) -> None:
        self.players = Watchers(outgoing, timers, sessions, recovering=recovering)
        self.services = Watching(outgoing, timers, services)
        self.alerts = AlertWatchers(outgoing, alerts)

    def watch(self, attachment: Attachment, what: Watched, *, on: bool) -> None:
        """A server wants to be told of something, or no longer."""
        if what is Watched.PLAYERS:
            self.players.watch(attachment, on=on)
        elif what is Watched.ALERTS:
            self.alerts.watch(attachment.sessions[0], on=on)
        else:
            self.services.watch(attachment.sessions[0], on=on)

    def resumed(self, attachment: Attachment, now: float) -> None:
        """An attachment has fresh links: it is told all again, since it may have missed any of it."""
        self.players.resumed(attachment, now)
        self.services.resumed(attachment)
        self.alerts.resumed(attachment)

    def end_turn(self, now: float) -> None:
        """Tell what has changed."""
        self.services.end_turn(now)
        self.players.end_turn(now)
        self.alerts.end_turn(now)
