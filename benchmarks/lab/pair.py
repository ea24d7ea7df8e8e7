"""One sender and one receiver, each a process, with a bus between them: the run that most measures are made of."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.lab.load import LANES, Flow, Inbox, Load, Tally
from benchmarks.lab.processes import Child, Failed, Words, cpu_s, rss_bytes
from benchmarks.rivals.base import Address, Rival

IN_FLIGHT: Final = 20_000
"""Events that may be under way: what lanebus' default outbox of 8 MiB holds of small ones, and MQTT can number."""
_START_S: Final = 20.0
_HEAD_START_S: Final = 0.5
"""For what is sent beside, so that it is under way when the measured flows begin."""


@dataclass(slots=True)
class Outcome:
    """What one run found."""

    sent: int
    handled: int
    took_s: float
    """From the first event until the receiver had handled all, and the sender had every confirmation that there is."""
    broker_cpu_s: float
    sender_cpu_s: float
    receiver_cpu_s: float
    broker_rss_bytes: int
    latencies_s: dict[str, array[float]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Events handled in a second."""
        return self.handled / self.took_s

    @property
    def broker_us(self) -> float:
        """The broker's time for each event that was handled, microseconds, all of its threads."""
        return self.broker_cpu_s / max(1, self.handled) * 1e6


def run_pair(
    rival: Rival,
    address: Address,
    flows: Sequence[Flow],
    data: Sequence[Any],
    *,
    burst: int | None = None,
    in_flight: int = IN_FLIGHT,
    timeout_s: float = 120.0,
    watch: Callable[[Tally], None] | None = None,
    beside: Sequence[Flow] = (),
) -> Outcome:
    """Send `flows` from one process to another.

    Args:
        beside: flows that another process sends to the same receiver meanwhile; their events are not in what was sent.
        burst: events after which the sender flushes; None leaves batching to the bus.
        watch: called now and then while it runs.

    Raises:
        Failed: one of them failed, or took longer than `timeout_s`.
    """
    tally = Tally()
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(
            Child(f"{rival.name}'s receiver", _receive, rival, address, tally, bool(beside))
        )
        receiver.hear(_START_S)
        load = Load(flows, data, in_flight=in_flight, burst=burst, gate=(tally, Tally.CONNECTED, Tally.GO))
        sender = stack.enter_context(Child(f"{rival.name}'s sender", _send, rival, address, load, tally))
        _connected(tally, Tally.CONNECTED, sender)
        if beside:
            gate = (tally, Tally.NOISE_CONNECTED, Tally.NOISE_GO)
            noise = Load(beside, data, in_flight=in_flight, name="noise", until=tally, gate=gate)
            other = stack.enter_context(Child(f"{rival.name}'s other", _send, rival, address, noise, None))
            _connected(tally, Tally.NOISE_CONNECTED, other)
            tally[Tally.NOISE_GO] = 1.0
            time.sleep(_HEAD_START_S)
        before_s = cpu_s(address.pids)
        tally[Tally.GO] = 1.0
        began_s, confirmed_s, notes, sender_cpu_s = _await(sender, tally, timeout_s, watch)
        if beside:
            tally[Tally.STOP_FLOWS] = 1.0
            notes["beside_per_s"] = other.hear(timeout_s)
            tally[Tally.STOP] = 1.0
        handled, latencies, last_s, receiver_cpu_s = receiver.hear(timeout_s)
    after_s = cpu_s(address.pids)
    return Outcome(
        sent=int(tally[Tally.SENT]),
        handled=handled,
        took_s=max(last_s, confirmed_s if rival.confirms else 0.0) - began_s,
        broker_cpu_s=after_s - before_s,
        sender_cpu_s=sender_cpu_s,
        receiver_cpu_s=receiver_cpu_s,
        broker_rss_bytes=rss_bytes(address.pids),
        latencies_s=dict(zip(LANES, latencies, strict=True)),
        notes=notes,
    )


def _connected(tally: Tally, which: int, child: Child) -> None:
    """Wait until a sender is connected: before others make the broker busy."""
    if not tally.wait_for(which, _START_S):
        # What it has to say is why.
        child.hear(0.0)
        raise Failed(f"{child.name} was not connected within {_START_S:g} s")


def _await(
    sender: Child, tally: Tally, timeout_s: float, watch: Callable[[Tally], None] | None
) -> tuple[float, float, dict[str, Any], float]:
    if watch is None:
        return sender.hear(timeout_s)  # type: ignore[no-any-return]
    deadline = time.monotonic() + timeout_s
    while not sender.has_word(0.25) and time.monotonic() < deadline:
        watch(tally)
    return sender.hear(0.0)  # type: ignore[no-any-return]


def _receive(words: Words, rival: Rival, address: Address, tally: Tally, waits_for_stop: bool) -> Any:
    inbox = Inbox(tally, lambda: words.say("ready"), waits_for_stop=waits_for_stop)
    begun_s = time.process_time()
    rival.receive(address, inbox)
    return inbox.count, inbox.latencies, tally[Tally.LAST_S], time.process_time() - begun_s


def _send(words: Words, rival: Rival, address: Address, load: Load, tally: Tally | None) -> Any:
    begun_s = time.process_time()
    rival.send(address, load)
    confirmed_s = time.monotonic()
    if tally is None:
        # Confirmations that come after the last event are no part of its rate.
        return load.sent() / max(load.ended_s - load.began_s, 1e-9)
    tally[Tally.SENT] = load.sent()
    return load.began_s, confirmed_s, load.notes, time.process_time() - begun_s
