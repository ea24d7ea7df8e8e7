"""A listener of alerts that keeps what it hears."""

from lanebus.broker.alerts import Alert, Alerts


class Heard:
    """The alerts that were told, in order: whom each is about, and on which lane."""

    def __init__(self, alerts: Alerts) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.kinds: list[str] = []
        """Of those that began."""
        alerts.listeners = [*alerts.listeners[1:], self.hear]

    def hear(self, alert: Alert, now: float) -> None:
        """A listener; the log is left out."""
        who = alert.peer if alert.lane is None else f"{alert.peer} {alert.lane.label}"
        if alert.ended is None:
            self.kinds.append(alert.kind.value)
        (self.began if alert.ended is None else self.ended).append(who)
