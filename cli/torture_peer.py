"""One peer of a torture: a process with one adapter that sends its share of the traffic and writes everything down.

Started as `python -m lanebus.cli.torture_peer SPEC --die-with PID`, with the spec as JSON. It is told to `start`, to
`stop` sending and to `end` by lines of JSON on standard input, and reports its state on standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from lanebus import (
    ClientAdapter,
    Event,
    GatewayAdapter,
    GatewaySession,
    LanebusError,
    OutboxFull,
    Receipt,
    ServerAdapter,
    Unsettled,
)
from lanebus.cli.exits import Exit
from lanebus.cli.logs import set_up_logging
from lanebus.cli.parent import PARENT_OPTION, die_with
from lanebus.cli.torture_log import GOT, SENT, Log, log_path, now_us
from lanebus.cli.torture_plan import SERVICE, Destination, Peer
from lanebus.cli.torture_traffic import Sending
from lanebus.wire.lanes import LANES

REPORT_S: Final = 0.1
TURN_S: Final = 0.01
"""Longest time in which the adapter is left to itself."""
SETTLE_S: Final = 0.05
REJOIN_S: Final = 1.0
"""How often a server says again who is in its group, as one must whose players come and go."""
CLOSE_TIMEOUT_S: Final = 2.0
_CATCH_UP: Final = 200
"""Events sent in one go at most."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer has to know."""

    peer: Peer
    life: int
    """1 for the first process of the name."""
    broker: str
    folder: str
    """Where the logs go."""
    traffic: str
    """File with the process' `Sending`s, MessagePack."""
    destinations: list[Destination]
    group: str = ""
    """The group that a server owns; empty for others."""
    members: list[str] = []


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer is told."""

    do: str
    """`start`, `stop` or `end`."""
    at_us: int = 0
    """For `start`: when the traffic began, on the machine's monotonic clock."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer says of itself."""

    state: str
    in_flight: int
    pending: int
    """Requests that the broker has not answered."""
    unsent: int
    """Events that were due and did not fit into an outbox."""
    handled: int
    at_us: int


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """What events carry: who sent it, and proof that it is whole."""

    sender: str
    life: int
    lane: int
    n: int
    checksum: int
    body: bytes


class Speaker:
    """One name that sends and handles."""

    def __init__(self, index: int, name: str, life: int, sent: Log, got: Log) -> None:
        self.name = name
        self.handled = 0
        self.blocked: deque[Sending] = deque()
        """Events that are due, behind one that found the outbox full."""
        self._index = index
        self._life = life
        self._sent = sent
        self._got = got
        self._next = [1 for _ in LANES]
        self._pending: list[deque[tuple[int, Receipt]]] = [deque() for _ in LANES]
        self._told = [0 for _ in LANES]
        self.endpoint: ServerAdapter | ClientAdapter | GatewaySession | None = None

    def attach(self, endpoint: ServerAdapter | ClientAdapter | GatewaySession) -> None:
        """Speak through an adapter or session."""
        self.endpoint = endpoint
        endpoint.on("**")(self._handle)
        endpoint.on_unsettled(self._note_end)

    @property
    def in_flight(self) -> int:
        """Events that the bus has not settled."""
        return self.endpoint.in_flight if self.endpoint is not None else 0

    def send(self, sending: Sending, destination: Destination) -> bool:
        """Send one event; False when the outbox is full."""
        assert self.endpoint is not None
        lane = LANES[sending.lane]
        n = self._next[lane]
        payload = Payload(self.name, self._life, lane, n, zlib.crc32(sending.payload), sending.payload)
        self._sent.write("a", now_us(), self._index, int(lane), n, sending.destination)
        try:
            receipt = self.endpoint.send(sending.topic, payload, to=destination.to, lane=lane, receipt=True)
        except OutboxFull:
            self._sent.write("w", now_us(), self._index, int(lane), n)
            return False
        assert isinstance(receipt, Receipt)
        self._next[lane] = n + 1
        self._pending[lane].append((n, receipt))
        return True

    def settle(self) -> None:
        """Write down what has ended."""
        for lane in LANES:
            left: deque[tuple[int, Receipt]] = deque()
            for n, receipt in self._pending[lane]:
                if receipt.outcome is None:
                    left.append((n, receipt))
                else:
                    reason = receipt.reason or "-"
                    self._sent.write("e", now_us(), self._index, int(lane), n, receipt.outcome.label, reason)
            self._pending[lane] = left

    def close_books(self) -> None:
        """Write down what the adapter's books say at the end."""
        assert self.endpoint is not None
        for lane in LANES:
            figures = self.endpoint.book(lane).as_list()
            self._sent.write("b", self._index, int(lane), *figures, self._told[lane])

    def _handle(self, event: Event) -> None:
        flags = "r" if event.redelivered else ""
        try:
            payload = msgspec.msgpack.decode(event.raw, type=Payload)
        except msgspec.MsgspecError:
            payload = Payload(event.sender, 0, event.lane, 0, -1, b"")
        if (
            payload.sender != event.sender
            or payload.lane != event.lane
            or payload.checksum != zlib.crc32(payload.body)
            or event.receiver != self.name
        ):
            flags += "c"
        self._got.write(
            now_us(), self.name, payload.sender, payload.life, payload.lane, payload.n, flags or "-"
        )
        self.handled += 1

    def _note_end(self, unsettled: Unsettled) -> None:
        self._told[unsettled.lane] += 1


class PeerProcess:
    """The process' adapter, its speakers, and what it was told."""

    def __init__(self, spec: Spec, words: int = 0, reports: int = 1) -> None:
        """Prepare; `words` and `reports` are the descriptors to read from and write to."""
        self._spec = spec
        self._words_in = words
        self._reports_out = reports
        peer = spec.peer
        folder = Path(spec.folder)
        self._sent = Log(log_path(folder, peer.name, spec.life, SENT))
        self._got = Log(log_path(folder, peer.name, spec.life, GOT))
        self._speakers = [
            Speaker(index, name, spec.life, self._sent, self._got) for index, name in enumerate(peer.speakers)
        ]
        self._adapter: ServerAdapter | ClientAdapter | GatewayAdapter
        if peer.role == "gateway":
            gateway = self._adapter = GatewayAdapter(peer.name, broker=spec.broker)
            for speaker in self._speakers:
                speaker.attach(gateway.open(speaker.name))
        else:
            single = self._adapter = (
                ServerAdapter(peer.name, service=SERVICE, broker=spec.broker)
                if peer.role == "server"
                else ClientAdapter(peer.name, broker=spec.broker)
            )
            self._speakers[0].attach(single)
        self._traffic = msgspec.msgpack.decode(Path(spec.traffic).read_bytes(), type=list[Sending])
        self._next = 0
        self._start_s: float | None = None
        self._is_stopped = False
        self._rejoin_s = 0.0
        self._received = b""

    def run(self) -> None:
        """Work until it is told to end, or its input does."""
        os.set_blocking(self._words_in, False)
        self._adapter.start()
        next_report_s = next_settle_s = 0.0
        while self._hear():
            now_s = time.monotonic()
            if self._spec.group and now_s >= self._rejoin_s and not self._is_stopped:
                self._rejoin_s = now_s + REJOIN_S
                self._join()
            if self._start_s is not None and not self._is_stopped:
                self._send_due(now_s - self._start_s)
            if now_s >= next_settle_s:
                next_settle_s = now_s + SETTLE_S
                self._settle()
            if now_s >= next_report_s:
                next_report_s = now_s + REPORT_S
                self._report()
            self._adapter.wait(TURN_S)
        self._adapter.close(CLOSE_TIMEOUT_S)
        self._settle()
        for speaker in self._speakers:
            speaker.close_books()
        self._sent.write("z", now_us())
        self._sent.close()
        self._got.close()

    def _hear(self) -> bool:
        for word in self._words():
            if word.do == "start":
                self._start_s = word.at_us / 1e6
                # A process that is started in the middle has missed what was due before.
                since_s = time.monotonic() - self._start_s
                while self._next < len(self._traffic) and self._traffic[self._next].at_s < since_s:
                    self._next += 1
            elif word.do == "stop":
                self._is_stopped = True
            else:
                return False
        return True

    def _words(self) -> Iterator[Word]:
        try:
            data = os.read(self._words_in, 4096)
        except BlockingIOError:
            return
        if not data:
            yield Word(do="end")
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line, type=Word)

    def _join(self) -> None:
        assert isinstance(self._adapter, ServerAdapter)
        for member in self._spec.members:
            self._adapter.join(self._spec.group, member)

    def _send_due(self, since_s: float) -> None:
        for speaker in self._speakers:
            while speaker.blocked and self._put(speaker, speaker.blocked[0]):
                speaker.blocked.popleft()
        for _ in range(_CATCH_UP):
            if self._next >= len(self._traffic) or self._traffic[self._next].at_s > since_s:
                return
            sending = self._traffic[self._next]
            self._next += 1
            speaker = self._speakers[sending.speaker]
            if speaker.blocked or not self._put(speaker, sending):
                speaker.blocked.append(sending)

    def _put(self, speaker: Speaker, sending: Sending) -> bool:
        return speaker.send(sending, self._spec.destinations[sending.destination])

    def _settle(self) -> None:
        for speaker in self._speakers:
            speaker.settle()

    def _report(self) -> None:
        report = Report(
            state=self._adapter.state,
            in_flight=sum(speaker.in_flight for speaker in self._speakers),
            pending=self._adapter.requests_pending,
            unsent=sum(len(speaker.blocked) for speaker in self._speakers),
            handled=sum(speaker.handled for speaker in self._speakers),
            at_us=now_us(),
        )
        os.write(self._reports_out, msgspec.json.encode(report) + b"\n")


def main(arguments: list[str]) -> int:
    """Run the peer's process; returns its exit code."""
    if len(arguments) != 3 or arguments[1] != PARENT_OPTION:
        print(f"usage: torture_peer SPEC {PARENT_OPTION} PID", file=sys.stderr)
        return Exit.USAGE
    die_with(int(arguments[2]), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    environ: dict[str, Any] = dict(os.environ)
    set_up_logging("warning", "text", environ)
    try:
        PeerProcess(msgspec.json.decode(arguments[0], type=Spec)).run()
    except (LanebusError, BrokenPipeError) as error:
        print(f"torture_peer: {type(error).__name__}: {error}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
