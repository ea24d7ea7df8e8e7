"""What is sent when: flows of events on lanes, at a fixed rate or as fast as it goes, and who takes them in.

Latency is counted from the time at which an event was to be sent, not from when the sender came to it: a sender that is
held up does not hide what its events have waited.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lanebus.cli.shared_arrays import shared_doubles

LANES: Final = ("critical", "normal", "low")
GATE_S: Final = 30.0
"""The longest that a sender waits to be told to begin."""
_LOOK_S: Final = 0.002
IDLE_S: Final = 3.0
"""Silence, after the sender is done, after which what is missing counts as lost."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Events on one lane. `rate` in events a second; None for as fast as it goes. `count` None: until others end."""

    lane: str
    count: int | None
    rate: float | None = None
    urgent: bool = False
    """Each event leaves at once, without company."""


class Tally:
    """Numbers that sender, receiver and parent share: what was sent and handled, and when the last one was."""

    SENT, HANDLED, LAST_S, STOP, STOP_FLOWS, CONNECTED, GO, NOISE_CONNECTED, NOISE_GO = range(9)

    def __init__(self) -> None:
        self._slots = shared_doubles(9)

    def wait_for(self, which: int, timeout_s: float) -> bool:
        """Wait until a number is not 0; False if it is still 0 after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not self._slots[which]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def __getitem__(self, which: int) -> float:
        return self._slots[which]

    def __setitem__(self, which: int, value: float) -> None:
        self._slots[which] = value


class Load:
    """The sender's side: hands out what is due. An event's payload is [due, lane, number, data]."""

    def __init__(
        self,
        flows: Sequence[Flow],
        data: Sequence[Any],
        *,
        in_flight: int,
        burst: int | None = None,
        name: str = "sender",
        until: Tally | None = None,
        gate: tuple[Tally, int, int] | None = None,
    ) -> None:
        """
        Args:
            data: what events say, taken in turn.
            name: of the sender on the bus.
            until: flows without a count go on until somebody writes there that they are to stop.
            gate: a tally, where the sender notes there that it is connected, and where it is told to begin.
            in_flight: events that may be sent and not confirmed, where the sender can know.
            burst: events after which everything leaves at once; None leaves that to the bus.
        """
        self.flows = list(flows)
        self.in_flight = in_flight
        self.burst = burst
        self.name = name
        self._until = until
        self._gate = gate
        self._data = data
        self._sent = [0 for _ in flows]
        self.began_s = 0.0
        self.ended_s = 0.0
        self.notes: dict[str, Any] = {}
        """What a bus has to say of the run."""

    def begin(self) -> None:
        """The sender is connected; returns when the first event is due, which is at once without a gate."""
        if self._gate is not None:
            tally, connected, go = self._gate
            tally[connected] = 1.0
            tally.wait_for(go, GATE_S)
        self.began_s = time.monotonic()

    def take(self, most: int = 256) -> list[tuple[Flow, list[Any]]] | None:
        """Events that are due, in order of flows, at most `most`; an empty list if none is; None when all is sent."""
        now = time.monotonic()
        due: list[tuple[Flow, list[Any]]] = []
        sent, data = self._sent, self._data
        is_over = self._until is None or bool(self._until[Tally.STOP_FLOWS])
        for position, flow in enumerate(self.flows):
            done = sent[position]
            if flow.count is not None:
                if done >= flow.count:
                    continue
                is_over = False
            until = flow.count if flow.count is not None else done + most
            if flow.rate is not None:
                until = min(until, int((now - self.began_s) * flow.rate) + 1)
            until = min(until, done + most - len(due))
            lane, rate, began_s = LANES.index(flow.lane), flow.rate, self.began_s
            for number in range(done, until):
                when = began_s + number / rate if rate is not None else 0.0
                due.append((flow, [when, lane, number, data[number % len(data)]]))
            sent[position] = max(done, until)
        if is_over:
            self.ended_s = time.monotonic()
            return None
        return due

    def next_due_s(self) -> float:
        """When the next event is due, on the monotonic clock; now, if one is."""
        nexts = [
            self.began_s + (0.0 if flow.rate is None else done / flow.rate)
            for flow, done in zip(self.flows, self._sent, strict=True)
            if flow.count is None or done < flow.count
        ]
        return min(nexts, default=time.monotonic())

    def rest(self) -> float:
        """Seconds until the next event is due."""
        return max(0.0, self.next_due_s() - time.monotonic())

    def sent(self) -> int:
        """Events handed out so far."""
        return sum(self._sent)


class Inbox:
    """The receiver's side: the handler that every bus calls with every payload."""

    def __init__(self, tally: Tally, say_ready: Callable[[], None], *, waits_for_stop: bool = False) -> None:
        self._tally = tally
        self._waits_for_stop = waits_for_stop
        self._say_ready = say_ready
        self.count = 0
        self.latencies = [array("d") for _ in LANES]
        self._seen = 0
        self._seen_s = time.monotonic()

    def ready(self) -> None:
        """From now on everything that is sent arrives here."""
        self._say_ready()

    def handle(self, payload: Any) -> None:
        """Take one event in."""
        due_s, lane, _, _ = payload
        self.count += 1
        if due_s:
            self.latencies[lane].append(time.monotonic() - due_s)

    def over(self) -> bool:
        """Whether everything has come, or nothing comes any more. To be asked now and then, not for every event."""
        tally, now = self._tally, time.monotonic()
        if self.count != self._seen:
            self._seen, self._seen_s = self.count, now
            tally[Tally.HANDLED] = self.count
            tally[Tally.LAST_S] = now
        if tally[Tally.STOP]:
            return True
        sent = tally[Tally.SENT]
        if not sent or self._waits_for_stop:
            return False
        return self.count >= sent or now - self._seen_s > IDLE_S
