"""A peer that speaks frames: it holds the broker to the protocol, and lets tests break it."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from tests.broker.bench import Network
from tests.broker.traffic import End, Got, Sender, Stream, key_of, sent_again
from tests.named import numbers_in

from lanebus.wire.batches import TargetedBatch, UpEvent, decode_down, encode_batch, stamp_of
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.header import VERSION, Header, decode_header, encode_header
from lanebus.wire.history import LZ4, LZ4_LINKED, History, open_batch
from lanebus.wire.kinds import LEGAL, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import (
    Ack,
    Bye,
    Done,
    ErrorMessage,
    Hello,
    LaneHello,
    LaneWelcome,
    Pause,
    Settle,
    Settlement,
    Welcome,
    body_type,
    check_settlement,
    decode_message,
)
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Book, Outcome, Reason
from lanebus.wire.pings import Ping
from lanebus.wire.runs import runs_of

_processes = count(1)


class Peer:
    """One process: three links, and a session or, as a gateway, many."""

    def __init__(self, bench: Network, name: str, *, compressions: Sequence[str] = (LZ4, LZ4_LINKED)) -> None:
        self.bench = bench
        self.name = name
        self.role = {"player": Role.CLIENT, "server": Role.SERVER, "gateway": Role.GATEWAY}[
            name.partition(":")[0]
        ]
        self.process = next(_processes).to_bytes(16, "big")
        self.compressions = list(compressions)
        self.heard: list[History | None] = [None for _ in LANES]
        self.said: list[History | None] = [None for _ in LANES]
        """Of the batches that came and were sent by the present links, by lane; None where they are not linked."""
        self.incarnation = 0
        self.token = b""
        self.welcome: Welcome | None = None
        self.routes: list[bytes | None] = [None for _ in LANES]
        self.welcomed = [False for _ in LANES]
        self.senders: dict[Stream, Sender] = {}
        self.got: list[Got] = []
        self.unsettled: list[Got] = []
        """What arrived and was not settled."""
        self.settled: dict[tuple[int, Lane, str, bytes, int], End] = {}
        """What this process has settled, by session, lane, sender, sender's process and number."""
        self.messages: list[tuple[Kind, Any]] = []
        """Every message but batches, in the order in which they came."""
        self.errors: list[int] = []
        self.dones: dict[int, Done] = {}
        self.paused: set[tuple[int, Lane, str]] = set()
        self.received = [0 for _ in LANES]
        """Highest batch number received, by lane."""
        self.told = [0 for _ in LANES]
        """Highest batch number acknowledged, by lane."""
        self.sent = [0 for _ in LANES]
        self.unacked: list[deque[tuple[int, list[UpEvent], int]]] = [deque() for _ in LANES]
        self.request_number = 0
        self.unanswered: dict[int, tuple[Kind, dict[str, Any]]] = {}
        self.sessions: dict[int, tuple[str, bytes]] = {}
        """A gateway's open sessions: name and process."""
        self._sources: dict[int, tuple[str, bytes]] = {}

    # Links

    @property
    def up(self) -> bool:
        """Whether all three links are welcomed."""
        return all(self.welcomed)

    def attach(self) -> "Peer":
        """Say hello on all links, as a new attachment or to resume the old one."""
        self.say_hello()
        self.bench.turn()
        for lane in (Lane.NORMAL, Lane.LOW):
            self.say_lane_hello(lane)
        self.bench.turn()
        return self

    def say_hello(self, **changes: Any) -> None:
        """Dial the critical lane and say hello."""
        self.cut()
        self.incarnation += 1
        self.routes[Lane.CRITICAL] = self.bench.connect(Lane.CRITICAL, self)
        fields = {
            "name": self.name,
            "role": self.role,
            "process": self.process,
            "versions": (VERSION, VERSION),
            "compressions": self.compressions,
            "token": self.token,
        }
        self.say(Kind.HELLO, Hello(**(fields | changes)))

    def say_lane_hello(self, lane: Lane, token: bytes | None = None) -> None:
        """Dial another lane and say hello there."""
        if self.routes[Lane.CRITICAL] is None:
            return
        self.routes[lane] = self.bench.connect(lane, self)
        self.say(Kind.HELLO, LaneHello(token=self.token if token is None else token), lane)

    def cut(self) -> None:
        """All connections are gone, with what is in them."""
        for lane in LANES:
            self.cut_lane(lane)
        self._sources.clear()
        self.paused.clear()

    def cut_lane(self, lane: Lane) -> None:
        """One connection is gone."""
        route = self.routes[lane]
        if route is not None:
            self.bench.cut(lane, route)
        self.routes[lane] = None
        self.welcomed[lane] = False

    # Sending

    @property
    def waits(self) -> bool:
        """Whether any event sent is not settled."""
        return any(sender.unsettled for sender in self.senders.values())

    def say(self, kind: Kind, message: Any, lane: Lane = Lane.CRITICAL, **header: int) -> None:
        """Send any message but a batch."""
        body = encode_body(message)
        fields = {"incarnation": self.incarnation, "ack": self._piggyback(lane)} | header
        self.put(encode_header(kind, lane, len(body), **fields) + body, lane)

    def put(self, frame: bytes, lane: Lane = Lane.CRITICAL, *, more: bool = False) -> None:
        """Send a frame as it is; it is lost where there is no connection."""
        route = self.routes[lane]
        if route is not None:
            self.bench.receive(lane, route, frame, more=more)

    def sender(self, lane: Lane, session: int = 0) -> Sender:
        """What a session has sent on a lane."""
        return self.senders.setdefault((session, lane), Sender())

    def event(
        self,
        topic: str,
        to: str | list[str] | None,
        lane: Lane = Lane.CRITICAL,
        payload: bytes = b"",
        *,
        session: int = 0,
        exclude: Sequence[str] = (),
        flags: int = 0,
        ttl: int = 0,
        key: str = "",
    ) -> UpEvent:
        """Accept an event, as an adapter's `send` does; it has not left yet."""
        sender = self.sender(lane, session)
        stamp = stamp_of(self.bench.now)
        event = UpEvent(
            session, sender.next_number, stamp, topic, to, payload, list(exclude), flags, ttl, key
        )
        sender.unsettled[event.number] = event
        sender.next_number += 1
        sender.book.accepted += 1
        return event

    def send(
        self,
        topic: str,
        to: str | list[str] | None,
        lane: Lane = Lane.CRITICAL,
        payload: bytes = b"",
        *,
        session: int = 0,
        exclude: Sequence[str] = (),
        after: int = 0,
        held: int = 0,
        flags: int = 0,
        ttl: int = 0,
        key: str = "",
    ) -> int:
        """Send one event in a batch of its own, and return its number."""
        event = self.event(
            topic, to, lane, payload, session=session, exclude=exclude, flags=flags, ttl=ttl, key=key
        )
        self.send_batch([event], lane, after=after, held=held)
        return event.number

    def burst(self, count: int, to: str, lane: Lane = Lane.CRITICAL, size: int = 300) -> list[int]:
        """Send `count` events in one batch, and return their numbers."""
        events = [self.event("t", to, lane, bytes(size)) for _ in range(count)]
        self.send_batch(events, lane)
        return [event.number for event in events]

    def send_batch(
        self,
        events: list[UpEvent],
        lane: Lane = Lane.CRITICAL,
        *,
        after: int = 0,
        held: int = 0,
        bases: list[tuple[int, int]] | None = None,
        number: int | None = None,
        ack: int | None = None,
    ) -> None:
        """Send a batch; it is kept until it is acknowledged."""
        self.sent[lane] += 1
        if bases is None:
            bases = [
                (session, self.sender(lane, session).base)
                for session in sorted({event.session for event in events})
            ]
        batch = encode_batch(
            lane,
            (held, after, bases),
            events,
            incarnation=self.incarnation,
            number=self.sent[lane] if number is None else number,
            ack=self._piggyback(lane) if ack is None else ack,
            threshold_bytes=256,
            history=self.said[lane],
        )
        self.unacked[lane].append((self.sent[lane], events, after))
        self.put(batch.frame, lane)

    def request(self, kind: Kind, **fields: Any) -> int:
        """Ask for a change of state, and return the request's number."""
        self.request_number += 1
        number = self.request_number
        self.unanswered[number] = (kind, fields)
        self.say(kind, body_type(kind, Lane.CRITICAL)(request=number, **fields))
        return number

    def ask(self, kind: Kind, **fields: Any) -> Done:
        """Ask for a change of state, and return the broker's answer."""
        number = self.request(kind, **fields)
        self.bench.turn()
        return self.dones[number]

    def open(self, index: int, name: str, *, rtt_ms: float | None = None) -> int:
        """Open a player's session, and return the request's number."""
        process = next(_processes).to_bytes(16, "big")
        self.sessions[index] = (name, process)
        number = self.request(Kind.OPEN, index=index, name=name, process=process, rtt_ms=rtt_ms)
        self.bench.turn()
        return number

    def close(self, index: int) -> None:
        """Close a player's session; what it has under way is forgotten."""
        books = [self.sender(lane, index).book.as_list() for lane in LANES]
        for lane in LANES:
            del self.senders[index, lane]
        del self.sessions[index]
        self.unsettled = [got for got in self.unsettled if got.session != index]
        self.request(Kind.CLOSE, index=index, books=books)

    def ping(self) -> None:
        """Ask for a sign of life, with all books."""
        self.say(Kind.PING, Ping(int(self.bench.now * 1e6), 0, self.books()))

    def bye(self) -> None:
        """End everything: what is not settled is unknown."""
        for sender in self.senders.values():
            sender.book.ended[Outcome.UNKNOWN] += len(sender.unsettled)
            sender.unsettled.clear()
        self.say(Kind.BYE, Bye(reason="done", books=self.books()))
        self.cut()

    def books(self) -> list[tuple[int, list[list[int]]]]:
        """The books of all sessions, as they travel."""
        indexes = [0] if self.role is not Role.GATEWAY else sorted(self.sessions)
        return [(index, [self.sender(lane, index).book.as_list() for lane in LANES]) for index in indexes]

    # Receiving

    def ack(self) -> None:
        """Acknowledge every batch received."""
        self.told = list(self.received)
        self.say(Kind.ACK, Ack(list(self.received)))

    def settle(
        self, got: Iterable[Got], outcome: Outcome = Outcome.DELIVERED, reason: Reason = Reason.NONE
    ) -> None:
        """Settle events that arrived; one settled before is settled as it was then."""
        runs: dict[tuple[int, int, Lane, End], list[int]] = {}
        chosen = list(got)
        for each in chosen:
            end = self.settled.setdefault(key_of(each), (outcome, reason))
            runs.setdefault((each.session, each.origin, each.lane, end), []).append(each.number)
        settlements = [
            Settlement(session, origin, lane, *end, runs_of(set(numbers)))
            for (session, origin, lane, end), numbers in runs.items()
        ]
        if self.routes[Lane.CRITICAL] is not None:
            gone = set(chosen)
            self.unsettled = [each for each in self.unsettled if each not in gone]
        self.told = list(self.received)
        self.say(Kind.SETTLE, Settle(list(self.received), settlements))

    def settle_all(self, outcome: Outcome = Outcome.DELIVERED, reason: Reason = Reason.NONE) -> None:
        """Settle everything that arrived and was not settled."""
        self.settle(list(self.unsettled), outcome, reason)

    def numbers(
        self, lane: Lane = Lane.CRITICAL, *, sender: str | None = None, session: int = 0
    ) -> list[int]:
        """Numbers of the events that arrived, in their order."""
        return [
            got.number
            for got in self.got
            if got.lane is lane and got.session == session and sender in (None, got.sender)
        ]

    def topics(self, session: int = 0) -> list[str]:
        """Topics of the events that arrived, in their order, on all lanes."""
        return [got.topic for got in self.got if got.session == session]

    def batches(self, lane: Lane = Lane.CRITICAL) -> int:
        """Batches that arrived on the present link of a lane."""
        return self.received[lane]

    def kinds(self) -> list[Kind]:
        """The kinds of all messages but batches, in their order."""
        return [kind for kind, _ in self.messages]

    def last(self, kind: Kind) -> Any:
        """The last message of a kind."""
        return next(message for each, message in reversed(self.messages) if each is kind)

    def end_of(self, number: int, lane: Lane = Lane.CRITICAL, session: int = 0) -> End | None:
        """How an event ended, as the broker said; None while it has not."""
        return self.sender(lane, session).ends.get(number)

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        """The broker sent a frame on a present connection."""
        header = decode_header(frame, max_raw_bytes=1 << 24)
        assert header.lane is lane
        assert header.incarnation in (self.incarnation, 0)
        state = LinkState.READY if self.welcomed[lane] else LinkState.NEW
        assert header.kind in LEGAL[Side.BROKER][state][lane], f"{header.kind.label} on a {state.value} link"
        if header.ack:
            self._acknowledged(lane, header.ack)
        if header.kind is Kind.BATCH:
            self._take_batch(lane, header, frame)
            return
        message = decode_message(header.kind, lane, open_body(frame, header))
        self.messages.append((header.kind, message))
        self._take_message(lane, message)

    def _take_message(self, lane: Lane, message: Any) -> None:
        kind = self.messages[-1][0]
        if isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, LaneWelcome):
            self.welcomed[lane] = True
            if self.welcome is not None and self.welcome.resumed:
                self._send_again(lane)
            else:
                self._replay(lane)
        elif isinstance(message, Ack | Settle):
            for each in LANES:
                if message.acks[each]:
                    self._acknowledged(each, message.acks[each])
            if isinstance(message, Settle):
                self._take_settlements(message.settlements)
        elif isinstance(message, Done):
            self.dones[message.request] = message
            self.unanswered.pop(message.request, None)
        elif isinstance(message, Pause):
            key = (message.session, message.lane, message.destination)
            if kind is Kind.PAUSE:
                self.paused.add(key)
            else:
                self.paused.discard(key)
        elif isinstance(message, ErrorMessage):
            self.errors.append(message.number)
            self.cut()
        elif isinstance(message, Bye):
            self.cut()

    def _welcomed(self, message: Welcome) -> None:
        self.welcome = message
        self.token = message.token
        self.welcomed[Lane.CRITICAL] = True
        self.heard = [History() if message.linked is True else None for _ in LANES]
        self.said = [History() if message.linked is True else None for _ in LANES]
        self.received = [0 for _ in LANES]
        self.told = [0 for _ in LANES]
        self.sent = [0 for _ in LANES]
        if message.resumed:
            for number, (kind, fields) in list(self.unanswered.items()):
                self.say(kind, body_type(kind, Lane.CRITICAL)(request=number, **fields))
            self._send_again(Lane.CRITICAL)
            # A settlement may have been lost with the links.
            again = [got for got in self.got if key_of(got) in self.settled]
            if again:
                self.settle(again)
            return
        self.unanswered.clear()
        self.request_number = 0
        for sender in self.senders.values():
            # The broker's book begins anew, with what is replayed to it.
            sender.book = Book(len(sender.unsettled))
        for index, (name, process) in self.sessions.items():
            self.request(Kind.OPEN, index=index, name=name, process=process)
        self._replay(Lane.CRITICAL)

    def _send_again(self, lane: Lane) -> None:
        again = list(self.unacked[lane])
        self.unacked[lane].clear()
        for _, events, after in again:
            self.send_batch([sent_again(event) for event in events], lane, after=after)

    def _replay(self, lane: Lane) -> None:
        self.unacked[lane].clear()
        for (_, each), sender in self.senders.items():
            if each is lane:
                for event in list(sender.unsettled.values()):
                    self.send_batch([sent_again(event)], lane, after=self.request_number)

    def _acknowledged(self, lane: Lane, number: int) -> None:
        assert number <= self.sent[lane], f"batch {number} acknowledged, {self.sent[lane]} sent"
        unacked = self.unacked[lane]
        while unacked and unacked[0][0] <= number:
            unacked.popleft()

    def _piggyback(self, lane: Lane) -> int:
        self.told[lane] = self.received[lane]
        return self.received[lane]

    def _take_settlements(self, settlements: list[Settlement]) -> None:
        for settlement in settlements:
            check_settlement(settlement)
            assert settlement.origin == 0
            sender = self.senders.get((settlement.session, settlement.lane))
            if sender is None:  # a session closed since
                continue
            for number in numbers_in(settlement.runs):
                if sender.unsettled.pop(number, None) is not None:
                    sender.ends[number] = (settlement.outcome, settlement.reason)
                    sender.book.ended[settlement.outcome] += 1

    def _take_batch(self, lane: Lane, header: Header, frame: bytes) -> None:
        assert header.number == self.received[lane] + 1, "a batch is missing"
        self.received[lane] = header.number
        assert self.welcome is not None
        # What is under way counts from what this peer has acknowledged, with anything that it has sent.
        assert header.number - self.told[lane] <= self.welcome.window_batches, "past the window"
        batch = decode_down(header, open_batch(frame, header, self.heard[lane]))
        assert isinstance(batch, TargetedBatch) == (self.role is Role.GATEWAY)
        for source in batch.sources:
            if source.name:
                self._sources[source.origin] = (source.name, source.process)
        bases = {source.origin: source.base for source in batch.sources}
        for row in batch.events:
            targets, event = row if isinstance(row, tuple) else ([0], row)
            for session in targets:
                if session and session not in self.sessions:
                    continue
                name, process = self._sources[event.origin]
                got = Got(
                    session,
                    lane,
                    name,
                    process,
                    event.origin,
                    event.number,
                    event.topic,
                    event.payload,
                    bases[event.origin],
                    header.number,
                    batch.held,
                    self.incarnation,
                    self.bench.now,
                    event.flags,
                )
                self.got.append(got)
                self.unsettled.append(got)
