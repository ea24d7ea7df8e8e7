"""What the broker did during a replay: differences of its statistics, across restarts of the broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError
from lanebus.cli.replay_limits import limits_report
from lanebus.wire.lanes import LANE_NAMES


@dataclass(slots=True)
class BrokerFigures:
    """What counts up in a broker's statistics."""

    events: int = 0
    unbatched_bytes: int = 0
    batches: int = 0
    bytes: int = 0
    control_messages: int = 0
    control_bytes: int = 0
    cpu_s: float = 0.0

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> BrokerFigures:
        """The figures in the answer to `status`."""
        out = [status["lanes"][lane]["out"] for lane in LANE_NAMES]
        control = status["control"]["out"]
        return cls(
            events=sum(lane["events"] for lane in out),
            unbatched_bytes=sum(lane["unbatched_bytes"] for lane in out),
            batches=sum(lane["batches"] for lane in out),
            bytes=sum(lane["bytes"] for lane in out),
            control_messages=control["messages"],
            control_bytes=control["bytes"],
            cpu_s=status["cpu_s"],
        )

    def add(self, other: BrokerFigures, sign: int = 1) -> None:
        """Add other figures to these, or take them away with `sign` -1."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))


class BrokerMeter:
    """Reads a broker's statistics at the start, now and then, and at the end."""

    def __init__(self, client: ControlClient) -> None:
        """Ask by `client`."""
        self._client = client
        self._epoch: object = None
        self._is_waiting = False
        self._base = BrokerFigures()
        self._latest = BrokerFigures()
        self._earlier = BrokerFigures()
        """What brokers did that have been replaced since."""
        self.rss_start_bytes = 0
        self.rss_peak_bytes = 0
        self.rss_end_bytes = 0
        self.limits: dict[str, Any] = {}
        """What limits did, of the latest broker alone."""
        self.queued_events: int | None = None
        """What waited in the broker when last seen; None while it is away."""

    def start(self) -> None:
        """Count from here.

        Raises:
            CliError: as `ControlClient.request`.
        """
        status = self._client.request("status")
        self._epoch = status["epoch"]
        self._base = self._latest = BrokerFigures.of(status)
        self.rss_start_bytes = status["rss_bytes"]
        self._note(status)

    def ask(self) -> None:
        """Ask for figures without waiting; `look` takes them in. A broker that is away is no error."""
        if self._is_waiting:
            # Nothing has come since the last time: a new connection shows whether there is still a broker.
            self._client.close()
            self.queued_events = None
        try:
            self._client.ask("status")
            self._is_waiting = True
        except CliError:
            self._client.close()
            self._is_waiting = False
            self.queued_events = None

    def look(self) -> None:
        """Take in what `ask` has asked for, if it is there."""
        try:
            answer = self._client.answer()
        except CliError:
            self._client.close()
            answer = None
        if answer is not None:
            self._is_waiting = False
            self._take(answer[0])

    def end(self) -> BrokerFigures:
        """What was done since `start`.

        Raises:
            CliError: as `ControlClient.request`.
        """
        # An answer that is still on its way must not be taken for this one's.
        self._client.close()
        self._take(self._client.request("status"))
        total = BrokerFigures()
        for figures, sign in ((self._earlier, 1), (self._latest, 1), (self._base, -1)):
            total.add(figures, sign)
        return total

    def _take(self, status: Mapping[str, Any]) -> None:
        if status["epoch"] != self._epoch:
            # Another process, which counts from zero.
            self._epoch = status["epoch"]
            self._earlier.add(self._latest)
            self._earlier.add(self._base, -1)
            self._base = BrokerFigures()
        self._latest = BrokerFigures.of(status)
        self._note(status)

    def _note(self, status: Mapping[str, Any]) -> None:
        self.limits = limits_report(status)
        self.rss_end_bytes = status["rss_bytes"]
        self.rss_peak_bytes = max(self.rss_peak_bytes, status["rss_peak_bytes"])
        self.queued_events = sum(status["lanes"][lane]["queued_events"] for lane in LANE_NAMES)
