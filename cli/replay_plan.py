"""What a replay will do, settled before it starts: who exists, who sends what when, who must get what."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_check import StreamChecker
from lanebus.cli.shared_arrays import shared_doubles, shared_ints
from lanebus.cli.traces import ALL, SERVER, Trace
from lanebus.wire.lanes import LANES, Lane

SERVICE: Final = "match"
"""The service that every match's server is an instance of."""

_RELAYED: Final = "cmd."
"""Topics of players' commands, which a match's server may send on to the other players."""


@dataclass(slots=True)
class Peer:
    """One name on the bus."""

    index: int
    name: str
    """In full, as `player:sc2-coop.1`."""
    match: int
    is_server: bool
    is_player: bool
    """Whether `to: all` reaches it: a human player, no observer and no bot."""
    outgoing: array[int] = field(default_factory=lambda: array("i"))
    """Indexes of the events that it sends of its own, in order."""


@dataclass(slots=True)
class Match:
    """One match, and the names that it uses on the bus."""

    index: int
    name: str
    server: int
    """Index of its server's peer."""
    clients: list[int] = field(default_factory=list)
    """Indexes of its players, observers and addressed bots."""

    @property
    def group(self) -> str:
        """The destination of what goes to every player."""
        return f"group:{self.name}"

    @property
    def gateway(self) -> str:
        """The name of the gateway that its players may share."""
        return f"{self.name}-gw"


class SendOrder:
    """The order in which one server sends on one lane, where that is decided only while the match is played.

    It lives in shared memory: receivers in other processes follow what the server writes down before it sends.
    """

    def __init__(self, length: int) -> None:
        """Make room for `length` events."""
        self._slots = shared_ints(length)
        self._used = 0

    def next_is(self, index: int) -> int:
        """The server sends event `index` next: write it down and return the number that it will have."""
        self._slots[self._used] = index + 1
        self._used += 1
        return self._used

    def reader(self, concerns: Callable[[int], bool]) -> Callable[[], Iterator[int]]:
        """A function that gives the indexes written since its last call, of those events that `concerns` names."""
        position = 0

        def new() -> Iterator[int]:
            nonlocal position
            slots = self._slots
            while position < len(slots) and slots[position]:
                index = slots[position] - 1
                position += 1
                if concerns(index):
                    yield index

        return new


class Plan:
    """Every event of a replay by its index, and what follows from it for each peer.

    What is written while the replay runs (`numbers` of relayed lanes, `sent_s`, the orders) lives in shared memory.
    """

    def __init__(self, traces: Sequence[Trace], *, relay: bool = False) -> None:
        """Plan the matches of `traces`; with `relay` each server also sends its players' commands on to the others.

        Raises:
            CliError: `USAGE` when two matches have the same name; `BAD_DATA` when a player addresses anything but
                the server, which the bus lets no client do.
        """
        self.matches: list[Match] = []
        self.peers: list[Peer] = []
        self.topics: list[str] = []
        self.payloads: list[bytes] = []
        self.times_s = array("d")
        """Match time at which each is sent; of a relayed one, at which its original is."""
        self.lanes = array("b")
        self.senders = array("i")
        """Indexes of peers."""
        self.to: list[str | None] = []
        """Destinations; None from a client, which leaves the choice to the bus."""
        self.originals: dict[int, int] = {}
        """Of each relayed event: the event that it repeats."""
        self.relays: dict[int, int] = {}
        """Of each event that its server relays: the relayed one."""
        self.deliveries = 0
        """How many arrivals all of it makes."""
        self.orders: dict[tuple[int, int], SendOrder] = {}
        """By server and lane, for those whose order is decided while playing."""
        self.players = sum(len(trace.players) for trace in traces)
        self._peer_of: dict[str, Peer] = {}
        self._streams: dict[tuple[int, int], list[array[int]]] = {}
        self._order_totals: dict[tuple[int, int], int] = defaultdict(int)

        for trace in traces:
            self._add_match(trace)
        if relay:
            self._add_relays()
        self.numbers = shared_ints(len(self.topics))
        self.sent_s = shared_doubles(len(self.topics))
        """When each was last handed to an adapter, seconds of the monotonic clock."""
        self._number_events()
        self._expect_deliveries()

    def checkers(self, receiver: Peer) -> dict[str, list[StreamChecker]]:
        """The streams that `receiver` must get: by the sender's name, one for each lane."""
        found: dict[str, list[StreamChecker]] = {}
        for sender in self._senders_to(receiver):
            streams = self._streams.get((receiver.index, sender.index)) or [array("i") for _ in LANES]
            found[sender.name] = [
                self._checker(receiver, sender, lane, expected)
                for lane, expected in zip(LANES, streams, strict=True)
            ]
        return found

    def weight(self, peer: Peer) -> int:
        """How much work a peer is: the events that it sends and gets."""
        total = len(peer.outgoing)
        for sender in self._senders_to(peer):
            total += sum(len(stream) for stream in self._streams.get((peer.index, sender.index), ()))
        return total

    def _senders_to(self, receiver: Peer) -> list[Peer]:
        match = self.matches[receiver.match]
        return [self.peers[index] for index in (match.clients if receiver.is_server else [match.server])]

    def _checker(self, receiver: Peer, sender: Peer, lane: Lane, expected: array[int]) -> StreamChecker:
        order = self.orders.get((sender.index, lane))
        if order is None:
            return StreamChecker(self, expected)
        total = self._order_totals[receiver.index, lane]
        concerns = self._is_for(receiver)
        return StreamChecker(self, expected, total=total, refill=order.reader(concerns))

    def _is_for(self, receiver: Peer) -> Callable[[int], bool]:
        """Whether a server's event, given by its index, goes to this client of its match."""
        group = self.matches[receiver.match].group
        to, originals, senders = self.to, self.originals, self.senders

        def concerns(index: int) -> bool:
            if to[index] != group:
                return to[index] == receiver.name
            original = originals.get(index)
            return receiver.is_player and (original is None or senders[original] != receiver.index)

        return concerns

    def _add_match(self, trace: Trace) -> None:
        if any(match.name == trace.name for match in self.matches):
            raise CliError(f"two matches are called {trace.name!r}: rename one of the files", Exit.USAGE)
        number = len(self.matches)
        server = self._add_peer(f"server:{trace.name}", number, is_server=True)
        match = Match(number, trace.name, server.index)
        self.matches.append(match)
        addressed = set(trace.receivers)
        local: dict[str, Peer] = {SERVER: server}
        for name in (*trace.players, *trace.observers, *(bot for bot in trace.bots if bot in addressed)):
            full_name = f"player:{trace.name}.{name.partition(':')[2]}"
            peer = self._add_peer(full_name, number, is_player=name in trace.players)
            local[name] = peer
            match.clients.append(peer.index)
        destinations: dict[str, str | None] = {name: peer.name for name, peer in local.items()}
        destinations |= {SERVER: None, ALL: match.group}
        base = len(self.topics)
        for offset, (sender_name, to, lane) in enumerate(
            zip(trace.senders, trace.receivers, trace.lanes, strict=True)
        ):
            sender = local[sender_name]
            if not sender.is_server and to != SERVER:
                raise CliError(
                    f"{trace.name}: {sender_name} sends {trace.topics[offset]} to {to} at {trace.times_s[offset]:g} s; "
                    "on the bus only a server may address players",
                    Exit.BAD_DATA,
                )
            sender.outgoing.append(base + offset)
            self.senders.append(sender.index)
            self.to.append(destinations[to])
            self.lanes.append(lane)
        self.topics += trace.topics
        self.payloads += trace.payloads
        self.times_s.extend(trace.times_s)

    def _add_peer(self, name: str, match: int, *, is_server: bool = False, is_player: bool = False) -> Peer:
        peer = Peer(len(self.peers), name, match, is_server, is_player)
        self.peers.append(peer)
        self._peer_of[name] = peer
        return peer

    def _add_relays(self) -> None:
        for match in self.matches:
            players = [self.peers[index] for index in match.clients if self.peers[index].is_player]
            if len(players) < 2:
                continue
            commands = [
                index
                for player in players
                for index in player.outgoing
                if self.topics[index].startswith(_RELAYED)
            ]
            for index in commands:
                relayed = len(self.topics)
                self.relays[index] = relayed
                self.originals[relayed] = index
                self.topics.append(self.topics[index])
                self.payloads.append(self.payloads[index])
                self.times_s.append(self.times_s[index])
                self.lanes.append(self.lanes[index])
                self.senders.append(match.server)
                self.to.append(match.group)

    def _number_events(self) -> None:
        """Number what each sender sends on each lane, or prepare for an order that is decided later."""
        counts: dict[tuple[int, int], int] = defaultdict(int)
        dynamic = {(self.senders[relayed], self.lanes[relayed]) for relayed in self.originals}
        for index, key in enumerate(zip(self.senders, self.lanes, strict=True)):
            counts[key] += 1
            if key not in dynamic:
                self.numbers[index] = counts[key]
        for key in dynamic:
            self.orders[key] = SendOrder(counts[key])

    def _expect_deliveries(self) -> None:
        """Enter every event into the streams of its receivers, in the order of sending."""
        clients = [[self.peers[index] for index in match.clients] for match in self.matches]
        for index, (sender_index, lane, to) in enumerate(zip(self.senders, self.lanes, self.to, strict=True)):
            match = self.peers[sender_index].match
            if to is None:
                self._expect(self.matches[match].server, sender_index, lane, index)
            elif to == self.matches[match].group:
                original = self.originals.get(index)
                author = -1 if original is None else self.senders[original]
                for peer in clients[match]:
                    if peer.is_player and peer.index != author:
                        self._expect(peer.index, sender_index, lane, index)
            else:
                self._expect(self._peer_of[to].index, sender_index, lane, index)

    def _expect(self, receiver: int, sender: int, lane: int, index: int) -> None:
        self.deliveries += 1
        if (sender, lane) in self.orders:
            self._order_totals[receiver, lane] += 1
            return
        streams = self._streams.get((receiver, sender))
        if streams is None:
            streams = self._streams[receiver, sender] = [array("i") for _ in LANES]
        streams[lane].append(index)
