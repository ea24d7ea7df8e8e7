"""Alerts as a server that watches is told of them: events of the topic `bus.alert`, from the bus itself."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from lanebus.adapters.event import Event
from lanebus.adapters.session import SessionCore
from lanebus.wire.alerts import ALERT_TOPIC, AlertEntry, AlertNews
from lanebus.wire.lanes import Lane
from lanebus.wire.names import DestinationKind
from lanebus.wire.services import BUS

SENDER: Final = f"{DestinationKind.SERVICE}:{BUS}"
"""Who these events are from."""

_encode = msgspec.msgpack.Encoder().encode


class WatchedAlerts:
    """The alerts that last, and those that the program has not been told of.

    A list of those that last comes first, and again after every reconnect: what it says that was not known is told as
    if it had happened now.
    """

    def __init__(self) -> None:
        self._watching = False
        self._lasting: dict[tuple[str, str, Lane | None], AlertEntry] = {}
        self._listed: set[tuple[str, str, Lane | None]] | None = None
        """Those in the list that is under way."""
        self._news: list[AlertEntry] = []
        self._told = 0

    def watch(self, *, on: bool) -> None:
        """The program wants to know, or no longer."""
        self._watching = on
        self._lasting.clear()
        self._news.clear()
        self._listed = None

    def told(self, lane: Lane, message: AlertNews, now: float) -> None:
        """The broker has told of alerts."""
        if not self._watching:
            return
        if message.begins:
            self._listed = set()
        for entry in message.entries:
            key = (entry.kind, entry.peer, entry.lane)
            known = self._lasting.pop(key, None)
            if entry.is_over:
                if known is not None:
                    self._news.append(entry)
                continue
            self._lasting[key] = entry
            if self._listed is None:
                self._news.append(entry)
                continue
            self._listed.add(key)
            if known is None:
                self._news.append(entry)
        if message.ends and self._listed is not None:
            for key in [key for key in self._lasting if key not in self._listed]:
                self._news.append(msgspec.structs.replace(self._lasting.pop(key), is_over=True))
            self._listed = None

    def tell(self, session: SessionCore) -> None:
        """Call the program's handlers; without any, there is nobody to be told."""
        if not self._news:
            return
        news, self._news = self._news, []
        handlers = session.handlers.of_alerts
        if not handlers:
            return
        for entry in news:
            self._told += 1
            age_ms = 0.0 if entry.is_over else float(entry.lasted_ms)
            event = Event(
                self._told,
                ALERT_TOPIC,
                _encode(_payload(entry)),
                SENDER,
                session.name,
                Lane.CRITICAL,
                age_ms,
                False,
            )
            session.handlers.run(handlers, event)


def _payload(entry: AlertEntry) -> dict[str, Any]:
    return {
        **entry.figures,
        "kind": entry.kind,
        "peer": entry.peer,
        "lane": None if entry.lane is None else entry.lane.label,
        "is_over": entry.is_over,
        "lasted_s": entry.lasted_ms / 1e3,
        "held_back": entry.held_back,
    }
