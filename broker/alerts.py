"""Alerts: what an operator has to know of, once when it begins and once when it ends. Without I/O.

`Alerts` keeps episodes and tells its listeners; the log is one of them. What is watched for, and when it begins and
ends, is each watcher's own matter: `watchdogs.py` puts them together.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from lanebus.wire.lanes import Lane

log = logging.getLogger("lanebus.broker")

ALERTS_REMEMBERED: Final = 256
"""Episodes that are over and remembered for `lanebus alerts`; at most one per kind, peer and lane lasts."""
TOLD_REMEMBERED: Final = 4096
"""What was told last, by kind, peer and lane; of the one that is forgotten, the next comes without a wait."""
BROKER: Final = ""
"""The peer of alerts about the broker itself."""


class AlertKind(StrEnum):
    """What alerts are about."""

    SLOW_RECEIVER = "slow_receiver"
    """A receiver does not keep up with what it is sent."""
    OUTBOX_FULL = "outbox_full"
    """A sender's outbox is full, or nearly so."""
    BANDWIDTH = "bandwidth"
    """A session uses nearly all of its bandwidth."""
    ERROR_BUDGET = "error_budget"
    """A peer has nearly used up the violations that it may commit."""
    FLAPPING = "flapping"
    """A peer comes back again and again, or processes take its name from each other."""
    LOOP_LATE = "loop_late"
    """The broker's loop does not keep up."""
    MEMORY = "memory"
    """The broker's process, or the events that it holds, take much memory."""
    OPEN_FILES = "open_files"
    """The broker has too few open files for all who connect."""


class Alert:
    """One episode: something about a peer or the broker, maybe on one lane, from its beginning to its end."""

    __slots__ = ("began", "ended", "figures", "held_back", "kind", "lane", "peer", "told")

    def __init__(self, kind: AlertKind, peer: str, lane: Lane | None, began: float) -> None:
        self.kind = kind
        self.peer = peer
        """Its full name; `BROKER` for the broker itself."""
        self.lane = lane
        self.began = began
        self.ended: float | None = None
        """None while it lasts."""
        self.told: float | None = None
        """When its beginning was told; None while it is held back."""
        self.held_back = 0
        """Episodes like it that were over before they could be told, since the last one that was."""
        self.figures: dict[str, float] = {}
        """The watcher's figures, by names that carry their units: the last ones, and the worst as `peak_...`."""

    def update(self, figures: Mapping[str, float]) -> None:
        """Take in how it is now."""
        for name, value in figures.items():
            self.figures[name] = value
            self.figures[f"peak_{name}"] = max(value, self.figures.get(f"peak_{name}", value))

    def lasted_s(self, now: float) -> float:
        """From its beginning to its end, or to now, in seconds."""
        return (now if self.ended is None else self.ended) - self.began

    def as_dict(self, now: float) -> dict[str, Any]:
        """All of it by name, as it is shown and sent out."""
        return {
            "kind": self.kind.value,
            "peer": self.peer,
            "lane": None if self.lane is None else self.lane.label,
            "is_over": self.ended is not None,
            "lasted_s": self.lasted_s(now),
            "held_back": self.held_back,
            **self.figures,
        }


Listener = Callable[[Alert, float], None]
"""Told of an alert when it has begun, and when it has ended, and what time it is."""

_Key = tuple[str, Lane | None]


class _Told:
    """When an alert was last told, and how many like it were held back since."""

    __slots__ = ("at", "held_back")

    def __init__(self) -> None:
        self.at = float("-inf")
        self.held_back = 0


class Alerts:
    """The episodes that last, and the latest of those that are over.

    Args:
        min_interval_s: least time between two beginnings of the same kind, peer and lane that are told. One that comes
            sooner is held back: told when the time has come, if it still lasts, and only counted otherwise.
    """

    def __init__(self, min_interval_s: float) -> None:
        self.listeners: list[Listener] = [log_alert]
        self.begun = dict.fromkeys(AlertKind, 0)
        """Episodes that ever began, those that were held back too."""
        self._min_interval_s = min_interval_s
        self._lasting: dict[AlertKind, dict[_Key, Alert]] = {kind: {} for kind in AlertKind}
        self._held_back: dict[tuple[AlertKind, _Key], Alert] = {}
        """Those that last and were not told."""
        self._told: dict[tuple[AlertKind, _Key], _Told] = {}
        """In the order in which they were told."""
        self._over: deque[Alert] = deque(maxlen=ALERTS_REMEMBERED)

    def __iter__(self) -> Iterator[Alert]:
        """Those that are over, the earliest end first, then those that last."""
        yield from self._over
        for alerts in self._lasting.values():
            yield from alerts.values()

    def lasting(self, kind: AlertKind, peer: str, lane: Lane | None = None) -> Alert | None:
        """The episode that lasts, if one does."""
        return self._lasting[kind].get((peer, lane))

    def all_lasting(self, kind: AlertKind) -> list[Alert]:
        """All episodes of a kind that last."""
        return list(self._lasting[kind].values())

    def told_and_lasting(self) -> list[Alert]:
        """All episodes that last and were told, the earliest first."""
        lasting = [
            alert for alerts in self._lasting.values() for alert in alerts.values() if alert.told is not None
        ]
        return sorted(lasting, key=lambda alert: alert.began)

    def begin(
        self,
        kind: AlertKind,
        peer: str,
        now: float,
        figures: Mapping[str, float],
        *,
        lane: Lane | None = None,
    ) -> Alert:
        """An episode begins; there must be none of this kind, peer and lane that lasts."""
        self.begun[kind] += 1
        alert = Alert(kind, peer, lane, now)
        alert.update(figures)
        self._lasting[kind][peer, lane] = self._held_back[kind, (peer, lane)] = alert
        self._tell_beginning(alert, now)
        return alert

    def end(self, alert: Alert, now: float) -> None:
        """An episode is over; one that was held back was never told, and is counted alone."""
        key = (alert.peer, alert.lane)
        del self._lasting[alert.kind][key]
        alert.ended = now
        if self._held_back.pop((alert.kind, key), None) is None:
            self._over.append(alert)
            self._tell(alert, now)
        elif (told := self._told.get((alert.kind, key))) is not None:
            told.held_back += 1

    def sweep(self, is_there: Callable[[str], bool], now: float) -> None:
        """Tell what was held back and lasts; end the episodes of peers that are not there any more."""
        for alerts in self._lasting.values():
            for alert in list(alerts.values()):
                if alert.peer != BROKER and not is_there(alert.peer):
                    self.end(alert, now)
        for alert in list(self._held_back.values()):
            self._tell_beginning(alert, now)

    def _tell_beginning(self, alert: Alert, now: float) -> None:
        """Tell it unless it comes too soon."""
        key = (alert.kind, (alert.peer, alert.lane))
        told = self._told.get(key)
        if told is None:
            told = _Told()
        elif now - told.at < self._min_interval_s:
            return
        else:
            del self._told[key]
        self._told[key] = told
        while len(self._told) > TOLD_REMEMBERED:
            oldest = next(iter(self._told))
            del self._told[oldest]
        del self._held_back[key]
        alert.told = told.at = now
        alert.held_back, told.held_back = told.held_back, 0
        self._tell(alert, now)

    def _tell(self, alert: Alert, now: float) -> None:
        for listener in self.listeners:
            listener(alert, now)


def log_alert(alert: Alert, now: float) -> None:
    """Write an alert to the log: a warning when it begins, a line of information when it is over."""
    where = alert.peer or "the broker"
    if alert.lane is not None:
        where += f" on {alert.lane.label}"
    if alert.ended is None:
        figures = [item for item in alert.figures.items() if not item[0].startswith("peak_")]
        more = f" ({alert.held_back} not told since the last)" if alert.held_back else ""
        log.warning("! %s: %s: %s%s", alert.kind, where, _written(figures), more)
    else:
        worst = [item for item in alert.figures.items() if item[0].startswith("peak_")]
        log.info("= %s is over: %s after %.1f s: %s", alert.kind, where, alert.lasted_s(now), _written(worst))


def _written(figures: list[tuple[str, float]]) -> str:
    return ", ".join(
        f"{name} {value:.{0 if isinstance(value, int) else 2 if name.endswith('_share') else 1}f}"
        for name, value in figures
    )
