"""One process' share of a replay: its adapters, driven by one loop, with every arrival checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lanebus import ClientAdapter, Event, GatewayAdapter, ServerAdapter
from lanebus.adapters.loop import Loop
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_check import Faults, StreamChecker
from lanebus.cli.replay_gap import GapMeter
from lanebus.cli.replay_plan import SERVICE, Peer, Plan
from lanebus.cli.replay_result import Progress, Result, Traffic
from lanebus.cli.replay_schedule import Schedule
from lanebus.cli.replay_sender import NEVER, Send, Sender
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Book

OUTBOX_BYTES: Final = 1 << 20
"""Limit of a server's outbox: well below what the broker holds for one receiver, so that nothing is ever dropped."""
CONNECT_TIMEOUT_S: Final = 30.0
AWAY_LIMIT_S: Final = 30.0
"""How long the broker may be away in the middle of a replay."""
REPORT_INTERVAL_S: Final = 0.25
CLOSE_TIMEOUT_S: Final = 2.0

_FULL_RETRY_S: Final = 0.005

Adapter = ServerAdapter | ClientAdapter | GatewayAdapter


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What every process of a replay has to know."""

    broker: str
    """Address of the critical lane."""
    speed: float
    """Match seconds in one second; infinite for as fast as it goes."""
    from_s: float
    """Match time at which the replay begins."""
    gateway: bool
    """Whether a match's players share a gateway."""
    outbox_bytes: int = OUTBOX_BYTES
    """Limit of each server's outbox."""


Report = Callable[[Progress], bool]
"""Called from time to time while a process plays; true ends the play."""


class Receiver:
    """Checks the arrivals of one peer."""

    __slots__ = ("_foreign", "_latencies", "_plan", "_relays", "_sender", "gaps", "streams")

    def __init__(self, plan: Plan, peer: Peer, latencies: Sequence[Histogram], sender: Sender) -> None:
        """Check what `plan` has for `peer`; `latencies` take the time of each arrival by lane, `sender` is its own."""
        self.streams: dict[str, list[StreamChecker]] = plan.checkers(peer)
        self._plan = plan
        self._latencies = latencies
        self._sender = sender
        self._relays = plan.relays if peer.is_server else {}
        self._foreign = 0
        self.gaps = GapMeter()

    def handler(self) -> Callable[[Event], None]:
        """The handler of all its events."""
        streams, sent_s, relays = self.streams, self._plan.sent_s, self._relays
        records = [histogram.record for histogram in self._latencies]
        clock = time.monotonic
        deliver = self.gaps.deliver

        def handle(event: Event) -> None:
            now = clock()
            lane = event.lane
            try:
                stream = streams[event.sender][lane]
            except KeyError:
                self._foreign += 1
                return
            index = stream.take(event.id, event.topic, event.raw)
            if index < 0:
                return
            records[lane](int((now - sent_s[index]) * 1e6))
            deliver(sent_s[index], now)
            if index in relays:
                self._sender.relay(relays[index])

        return handle

    def delivered(self) -> int:
        """Events that have arrived, each counted once."""
        return sum(stream.delivered for streams in self.streams.values() for stream in streams)

    def delivered_on(self, lane: int) -> int:
        """The same, of one lane."""
        return sum(streams[lane].delivered for streams in self.streams.values())

    def complete(self) -> bool:
        """Whether nothing is still to come."""
        return all(stream.complete for streams in self.streams.values() for stream in streams)

    def faults(self) -> Faults:
        """What was wrong, if nothing more arrives."""
        total = Faults(corrupted=self._foreign)
        for streams in self.streams.values():
            for stream in streams:
                total.add(stream.faults())
        return total


class Worker:
    """Plays some of the plan's peers. Its methods are called in their order here; between them, `idle`."""

    def __init__(
        self,
        plan: Plan,
        peers: Sequence[Peer],
        options: WorkerOptions,
        latencies: list[Histogram] | None = None,
    ) -> None:
        """Play `peers` of `plan`; with gateways, all clients of a match must be in the same process.

        `latencies` take the time of each arrival, lane by lane, if others are wanted than those that are made here.
        """
        self._plan = plan
        self._options = options
        self._loop = Loop()
        self._adapters: list[Adapter] = []
        self._servers: list[tuple[Peer, ServerAdapter]] = []
        self._senders: list[Sender] = []
        self._receivers: list[Receiver] = []
        self._books: list[Callable[[Any], Book]] = []
        self._latencies = [Histogram() for _ in LANES] if latencies is None else latencies
        self._before = Traffic()
        self._after = Traffic()
        self._away_since: float | None = None
        self._done = False
        gateways: dict[int, GatewayAdapter] = {}
        for peer in peers:
            match = plan.matches[peer.match]
            if peer.is_server:
                server = ServerAdapter(
                    match.name, service=SERVICE, broker=options.broker, outbox_bytes=options.outbox_bytes
                )
                self._servers.append((peer, server))
                self._adapters.append(server)
                self._people(peer, server, server.flush)
            elif options.gateway:
                gateway = gateways.get(match.index)
                if gateway is None:
                    gateway = gateways[match.index] = GatewayAdapter(match.gateway, broker=options.broker)
                    self._adapters.append(gateway)
                self._people(peer, gateway.open(peer.name), gateway.flush)
            else:
                client = ClientAdapter(peer.name, broker=options.broker)
                self._adapters.append(client)
                self._people(peer, client, client.flush)

    def _people(self, peer: Peer, endpoint: Any, flush: Callable[[], None]) -> None:
        """Give an adapter or session its part in the play."""
        send: Send = endpoint.send
        sender = Sender(self._plan, peer, send, flush)
        receiver = Receiver(self._plan, peer, self._latencies, sender)
        endpoint.on("**")(receiver.handler())
        self._senders.append(sender)
        self._receivers.append(receiver)
        self._books.append(endpoint.book)

    def connect(self) -> None:
        """Bring every adapter up.

        Raises:
            CliError: `UNAVAILABLE` when the broker does not take them all within `CONNECT_TIMEOUT_S`.
        """
        for adapter in self._adapters:
            adapter.start()
            self._loop.add(adapter)
        self._turn_until_settled()

    def prepare(self) -> None:
        """Bind the players of this process' servers to them, and put them into their groups.

        Raises:
            CliError: `UNAVAILABLE` when the broker does not carry that out within `CONNECT_TIMEOUT_S`.
        """
        for peer, server in self._servers:
            match = self._plan.matches[peer.match]
            for index in match.clients:
                client = self._plan.peers[index]
                server.assign(client.name, SERVICE, server.name)
                if client.is_player:
                    server.join(match.name, client.name)
        self._turn_until_settled()

    def idle(self, timeout_s: float = 0.02) -> None:
        """Keep the adapters alive while there is nothing to play."""
        self._loop.turn(timeout_s)

    def play(self, start_at: float, report: Report) -> None:
        """Send every event at its time, counted from `start_at` on the monotonic clock, until `report` says stop.

        Raises:
            CliError: as `Sender.send_due`.
        """
        while time.monotonic() < start_at:
            self._loop.turn(min(0.02, max(0.0, start_at - time.monotonic())))
        self._before = self._traffic()
        speed, from_s = self._options.speed, self._options.from_s
        is_paced = math.isfinite(speed)
        schedule = Schedule(self._senders)
        next_report = start_at
        while True:
            now = time.monotonic()
            match_s = from_s + (now - start_at) * speed if is_paced else NEVER
            schedule.serve(match_s)
            now = time.monotonic()
            busy = schedule.is_ready or schedule.is_blocked
            if now >= next_report:
                waiting = not busy and match_s < schedule.next_due_s < NEVER
                if report(self._progress(now, match_s, is_waiting=waiting)):
                    break
                next_report = now + REPORT_INTERVAL_S
            wait_s = next_report - now
            if schedule.is_ready:
                wait_s = 0.0
            elif schedule.is_blocked:
                wait_s = min(wait_s, _FULL_RETRY_S)
            if is_paced and schedule.next_due_s < NEVER:
                wait_s = min(wait_s, start_at + (schedule.next_due_s - from_s) / speed - now)
            self._loop.turn(max(0.0, wait_s))
        self._after = self._traffic()

    def finish(self) -> Result:
        """Close the adapters and return what was found."""
        # What could not be settled by now never will be.
        self._loop.close_all(CLOSE_TIMEOUT_S if self._done else 0.0)
        result = Result(latencies=self._latencies, traffic=self._after)
        result.traffic.add(self._before, -1)
        for sender in self._senders:
            result.sent = [total + sent for total, sent in zip(result.sent, sender.sent, strict=True)]
        for receiver in self._receivers:
            result.faults.add(receiver.faults())
            result.longest_gap_s = max(result.longest_gap_s, receiver.gaps.longest_s)
            for lane in LANES:
                result.delivered[lane] += receiver.delivered_on(lane)
        for book in self._books:
            for lane in LANES:
                result.book.add(book(lane))
        return result

    def _progress(self, now: float, match_s: float, *, is_waiting: bool) -> Progress:
        if all(adapter.state == "up" for adapter in self._adapters):
            self._away_since = None
        else:
            self._check_failures()
            if self._away_since is None:
                self._away_since = now
        in_flight = sum(adapter.in_flight for adapter in self._adapters)
        delivered = sum(receiver.delivered() for receiver in self._receivers)
        self._done = (
            not in_flight
            and all(sender.next_due_s == NEVER for sender in self._senders)
            and all(receiver.complete() for receiver in self._receivers)
        )
        faults = Faults()
        for receiver in self._receivers:
            faults.add(receiver.faults())
        return Progress(
            match_s,
            sum(sum(sender.sent) for sender in self._senders),
            delivered,
            faults.duplicated + faults.misordered + faults.corrupted,
            in_flight,
            self._done,
            is_waiting,
            0.0 if self._away_since is None else now - self._away_since,
        )

    def _traffic(self) -> Traffic:
        total = Traffic()
        for adapter in self._adapters:
            stats = adapter.stats()
            total.control_messages += stats["control"]["messages_out"]
            total.control_bytes += stats["control"]["bytes_out"]
            for figures in stats["lanes"].values():
                total.events += figures["events_out"]
                total.unbatched_bytes += figures["unbatched_bytes_out"]
                total.batches += figures["batches_out"]
                total.bytes += figures["bytes_out"]
        return total

    def _check_failures(self) -> None:
        """Raise what has ended an adapter for good: a refused hello, or another process with its name."""
        for adapter in self._adapters:
            failure = adapter.core.failure
            if failure is not None:
                raise CliError(f"{adapter.name}: {failure}", Exit.UNAVAILABLE)

    def _turn_until_settled(self) -> None:
        """Turn until every adapter is up and has its requests answered."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            behind = next(
                (each for each in self._adapters if each.state != "up" or each.requests_pending), None
            )
            if behind is None:
                return
            self._check_failures()
            if time.monotonic() >= deadline:
                problem = "has requests without an answer" if behind.state == "up" else f"is {behind.state}"
                raise CliError(
                    f"{behind.name} {problem} after {CONNECT_TIMEOUT_S:g} s with the broker at "
                    f"{self._options.broker}; see its log",
                    Exit.UNAVAILABLE,
                )
            self._loop.turn(0.02)
