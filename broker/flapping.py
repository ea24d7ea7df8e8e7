"""Watches for peers that come back again and again, and for processes that take a name from each other."""

from __future__ import annotations

from collections import deque
from typing import Final

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.conf.model import AlertsConfig

MAX_PEERS: Final = 4096
"""Peers whose returns are remembered; past it those who came back longest ago are forgotten."""
MAX_RETURNS: Final = 64
"""Returns remembered of one peer: where there are more, there are as many."""

Returns = deque[tuple[float, bool]]
"""When a peer came back, and whether as another process."""


class Flapping:
    """A peer flaps when it has come back so often within a window: on fresh links, or as a newer process of its name.

    It does so no more when that is at most half as often.
    """

    def __init__(self, config: AlertsConfig, alerts: Alerts) -> None:
        self._alerts = alerts
        self._begin = config.flapping_returns
        self._window_s = config.flapping_window_s
        self._returns: dict[str, Returns] = {}
        """By full name; who came back last stands last."""

    def came_back(self, name: str, now: float, *, is_takeover: bool) -> None:
        """A peer is back.

        Args:
            name: the attachment's, or the player's whose gateways take it from each other.
            is_takeover: whether another process has taken the name.
        """
        returns = self._returns.pop(name, None) or deque(maxlen=max(MAX_RETURNS, self._begin))
        self._returns[name] = returns
        if len(self._returns) > MAX_PEERS:
            del self._returns[next(iter(self._returns))]
        returns.append((now, is_takeover))
        figures = self._figures(returns, now)
        alert = self._alerts.lasting(AlertKind.FLAPPING, name)
        if alert is not None:
            alert.update(figures)
        elif len(returns) >= self._begin:
            self._alerts.begin(AlertKind.FLAPPING, name, now, figures)

    def look(self, now: float) -> None:
        """End the episodes of those who have become calm; called about once a second."""
        for alert in self._alerts.all_lasting(AlertKind.FLAPPING):
            returns = self._returns.get(alert.peer, deque())
            alert.update(self._figures(returns, now))
            if len(returns) <= self._begin // 2:
                self._alerts.end(alert, now)
        while self._returns:
            name, returns = next(iter(self._returns.items()))
            if returns and returns[-1][0] > now - self._window_s:
                return
            del self._returns[name]

    def _figures(self, returns: Returns, now: float) -> dict[str, float]:
        while returns and returns[0][0] <= now - self._window_s:
            returns.popleft()
        takeovers = sum(is_takeover for _, is_takeover in returns)
        return {"reconnects": len(returns) - takeovers, "takeovers": takeovers}
