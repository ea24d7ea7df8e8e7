"""A world of peers in which anything may happen, and what must hold in it, whatever did.

Two kinds: in one every outage is shorter than the grace period, and everything that was sent must arrive; in the other
brokers and processes die too, and what is certain is less: nothing twice, nothing unsettled, every book balanced.
"""

from __future__ import annotations

import random
from collections import defaultdict
from random import Random
from typing import Any, NamedTuple

from tests.link.link import Net, Reaches
from tests.link.marks import Marks
from tests.link.process import Peer
from tests.link.settings import UNLIMITED, small_config

from lanebus.adapters.actions import State
from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.event import Event
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.session import SessionCore
from lanebus.broker.audit import audit
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.lanes import LANES
from lanebus.wire.modes import DROPPED_LATE, EXPIRED, LOST, SUPERSEDED, Mode
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

FINE, FAILS, REPLIES = range(3)
"""What a payload asks of its handler."""

INSTANCES = ("server:b", "server:c")
"""Of the service; one of them handles what is for it, and the other too if that one was away before it was settled."""
DRAIN_S = 300.0
MOST_PLAYERS = 6

DELIVERED = (Outcome.DELIVERED, Reason.NONE)
FAILED = (Outcome.REFUSED, Reason.HANDLER_ERROR)


class Terms(NamedTuple):
    """How an event is sent."""

    mode: Mode = "reliable"
    key: int | None = None
    ttl_ms: float | None = None


RELIABLE = Terms()


class Sent:
    """An event that a sender has accepted."""

    __slots__ = ("lane", "process", "receipt", "sender", "terms", "to", "what", "whom")

    def __init__(self, sender: SessionCore, event: OutEvent, what: int, whom: set[str], terms: Terms) -> None:
        assert event.receipt is not None
        self.sender = sender.name
        self.process = sender.process
        self.to = event.to
        self.lane = event.lane
        self.receipt = event.receipt
        self.terms = terms
        self.what = what
        self.whom = whom
        """Who must have handled it in the end, unless they leave the group, or for good."""

    @property
    def end(self) -> tuple[Outcome, Reason] | None:
        """How its sender was told that it ended."""
        receipt = self.receipt
        return None if receipt.outcome is None else (receipt.outcome, receipt.reason)

    @property
    def value_key(self) -> tuple[Any, ...]:
        """What newer values replace it by."""
        return self.process, self.lane, str(self.to), self.terms.key

    @property
    def served(self) -> bool:
        """Whether it is for any instance of the service."""
        return self.to is None or self.to == "service:match"

    @property
    def shared(self) -> bool:
        """Whether a receiver that is too slow costs it a part."""
        return isinstance(self.to, list) or self.to in ("group:room", "all")


class World:
    """Three servers, two players with links of their own and a gateway, on one broker.

    Args:
        within_grace: no session is ever forgotten, and neither the broker nor a process dies.
        queue_bytes: what may wait for one receiver; small, and it is soon full.
        policy: what may be sent and received.
    """

    def __init__(
        self,
        seed: int,
        *,
        within_grace: bool,
        queue_bytes: int = 1 << 22,
        policy: PolicyConfig = UNLIMITED,
    ) -> None:
        random.seed(seed)  # the jitter of reconnects
        self.within_grace = within_grace
        self.queues_fill = queue_bytes < 1 << 20
        random_of_net = Random(seed)
        config = small_config(
            grace_s=10_000.0 if within_grace else 4.0,
            recovery_s=0.0 if within_grace else random_of_net.choice((0.0, 4.0)),
            queue_bytes=queue_bytes,
            policy=policy,
        )
        self.net = Net(config, random=random_of_net)
        self.sent: list[Sent] = []
        self.got: dict[tuple[str, bytes], list[int]] = defaultdict(list)
        """By receiver and its process: which of `sent` it handled, in order."""
        self.marks = Marks()
        self.room: set[str] = set()
        """Members of the group, as its server has asked."""
        self.gone: set[str] = set()
        """Players behind the gateway that have left."""
        self.known: list[str] = []
        """Players behind the gateway whose sessions the broker has opened."""
        self.peers: list[Peer] = []
        self.a = self._add("a", Role.SERVER)
        self.b = self._add("b", Role.SERVER, tick_s=0.033)
        self.c = self._add("c", Role.SERVER)
        self._add("1", Role.CLIENT)
        self._add("2", Role.CLIENT, tick_s=0.016)
        self.gateway = self._add("g", Role.GATEWAY)
        for instance in (self.b, self.c):
            instance.register("match", ["t"])
        self._opened = 10
        for _ in range(3):
            self.open()
        self.net.run_until(self._rests, 10.0, "all are up")

    def _add(self, name: str, role: Role, *, tick_s: float | None = None) -> Peer:
        peer = Peer(self.net, name, role, tick_s=tick_s, outbox_bytes=20_000)
        peer.program = lambda session, event: self._handle(peer, session, event)
        self.peers.append(peer)
        self.marks.begins(peer)
        return peer.start()

    # What programs do

    def send(
        self, sender: int, target: int, lane: int, size: int, what: int, terms: Terms = RELIABLE
    ) -> None:
        """One event of one of the senders to one of those that it may address."""
        speakers = [
            (peer, session)
            for peer in self.peers
            if peer.core.state is not State.CLOSED
            for session in peer.core.sessions.values()
        ]
        peer, session = speakers[sender % len(speakers)]
        targets = self._server_targets() if peer.core.role is Role.SERVER else self._player_targets()
        self._send(peer, session, targets[target % len(targets)], lane, size, what, terms)

    def _player_targets(self) -> list[str | list[str] | None]:
        return [None, "service:match", "server:a", "server:b", "server:c", None]

    def _server_targets(self) -> list[str | list[str] | None]:
        names = ["player:1", "player:2", *self.known, "server:a", "server:b", "server:c"]
        return [*names, "service:match", "all", "group:room", "group:room", names[:2], names[2:5]]

    def _whom(self, peer: Peer, to: str | list[str] | None) -> set[str]:
        if to is None or to == "service:match":
            return set(INSTANCES)
        if to == "all":
            return {"player:1", "player:2", *self.known}
        if to == "group:room":
            # What others send may overtake the first server's requests.
            return set(self.room) if peer is self.a else set()
        return set(to) if isinstance(to, list) else {to}

    def _send(
        self,
        peer: Peer,
        session: SessionCore,
        to: str | list[str] | None,
        lane: int,
        size: int,
        what: int,
        terms: Terms = RELIABLE,
    ) -> None:
        if peer.core.state is State.CLOSED or session.index not in peer.core.sessions:
            return
        try:
            event = peer.send(
                to,
                (len(self.sent), what, b"x" * size),
                lane=LANES[lane % 3],
                session=session.index,
                **terms._asdict(),
            )
        except OutboxFull:
            return
        self.sent.append(Sent(session, event, what, self._whom(peer, to), terms))

    def _handle(self, peer: Peer, session: SessionCore, event: Event) -> None:
        serial, what, _ = event.payload
        self.marks.handled(peer, session.name, serial, redelivered=event.redelivered)
        self.got[session.name, session.process].append(serial)
        if what == FAILS:
            raise ValueError("a handler that fails")
        if what == REPLIES:
            to = event.sender if peer.core.role is Role.SERVER else None
            self._send(peer, session, to, event.lane, 10, FINE)

    def open(self) -> None:
        """Another player comes to the gateway."""
        if self.gateway.core.state is not State.CLOSED and len(self.gateway.core.sessions) < MOST_PLAYERS:
            self._opened += 1
            self.gateway.open(str(self._opened))

    def close(self, position: int) -> None:
        """A player leaves the gateway."""
        session = self._player(position)
        if session is not None:
            self.gone.add(session.name)
            self.gateway.close_session(session.index)
            self._know()

    def read(self, position: int, reading: bool) -> None:
        """A player behind the gateway stops reading, or goes on."""
        session = self._player(position)
        if session is not None:
            self.gateway.read(session.index, reading)

    def _player(self, position: int) -> SessionCore | None:
        sessions = list(self.gateway.core.sessions.values())
        return sessions[position % len(sessions)] if sessions else None

    def join(self, member: int) -> None:
        """The first server takes somebody into its group."""
        if self.a.core.state is not State.CLOSED:
            names = ["player:1", "player:2", "server:c", *self.known]
            name = names[member % len(names)]
            self.a.join("room", name)
            self.room.add(name)

    def leave(self, member: int) -> None:
        """The first server takes somebody out of its group."""
        if self.a.core.state is not State.CLOSED and self.room:
            name = sorted(self.room)[member % len(self.room)]
            self.a.leave("room", name)
            self.room.discard(name)
            for sent in self.sent:
                # The leaving overtakes what is under way on other lanes.
                if sent.to == "group:room" and sent.end is None:
                    sent.whom.discard(name)

    def slow_down(self, peer: int, events_per_turn: int | None) -> None:
        """A peer has time for so many handlers in each turn."""
        self.peers[peer % len(self.peers)].events_per_turn = events_per_turn

    # What happens to them

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.net.run(seconds)
        self._know()
        self.check()

    def cut(self, peer: int, lane: int, peer_after_s: float | None, broker_after_s: float | None) -> None:
        """A connection breaks, or all three of a peer's; both sides learn of it at times of their own."""
        who = self.peers[peer % len(self.peers)]
        if lane >= len(LANES):
            who.cut(peer_after_s=peer_after_s, broker_after_s=broker_after_s)
        elif (connection := who.connections[lane]) is not None:
            self.net.cut(connection, peer_after_s=peer_after_s, broker_after_s=broker_after_s)

    def isolate(self, peer: int, what: Reaches, seconds: float) -> None:
        """A peer is cut off, and finds nobody for a while."""
        who = self.peers[peer % len(self.peers)]
        who.cut(peer_after_s=None if what is Reaches.NOTHING else 0.0)
        who.reaches = what
        self.net.at(seconds, lambda: setattr(who, "reaches", Reaches.BROKER))

    def stall(self, peer: int) -> None:
        """A program stops polling."""
        self.peers[peer % len(self.peers)].stall()

    def go_on(self, peer: int) -> None:
        """A program polls again."""
        self.peers[peer % len(self.peers)].go_on()

    def kill_broker(self, down_s: float) -> None:
        """The broker dies, and another one starts a while later."""
        self.net.restart_broker(down_s=down_s)

    def die(self, peer: int) -> None:
        """A process dies, and another one of the same name starts."""
        old = self.peers.pop(peer % len(self.peers))
        if old.core.state is not State.CLOSED:
            old.kill()
        self._replace(old)

    def take_over(self, peer: int) -> None:
        """A second process of a name starts while the first one lives."""
        self._replace(self.peers[peer % len(self.peers)])

    def _replace(self, old: Peer) -> None:
        new = self._add(old.name.partition(":")[2], old.core.role, tick_s=old.tick_s)
        if new.name == "server:a":
            self.a = new
            self.room = set()
        elif new.name in INSTANCES:
            new.register("match", ["t"])
            if new.name == "server:b":
                self.b = new
            else:
                self.c = new
        elif new.core.role is Role.GATEWAY:
            self.gateway = new
            self.known = []

    # What must hold

    def check(self) -> None:
        """What holds at any time."""
        for peer in self.peers:
            for session in peer.core.sessions.values():
                for lane in LANES:
                    book = session.outbox.books[lane]
                    assert book.in_flight == len(session.outbox.unsettled[lane]), f"{session.name}: {book}"
        assert self.marks.missing == []
        if self.net.broker is not None:
            problems = audit(self.net.broker).problems
            assert problems == [], problems
            assert self.net.broker.violations.totals == {}, "who follows the protocol breaks no rule"

    def finish(self) -> None:
        """Heal, drain, and look whether everything is as it should be."""
        self._heal()
        self.net.run_until(self._rests, DRAIN_S, "everybody is up, and everything is settled")
        # What was accepted from senders that are gone may wait for the end of the recovery time.
        self.net.run_until(lambda: audit(self.net.core).at_rest, DRAIN_S, "the broker is at rest")
        self.net.run(2.0)
        self.check()
        self._check_order()
        self._check_empty()
        receivers: dict[int, list[str]] = defaultdict(list)
        for (name, _), serials in self.got.items():
            for serial in serials:
                receivers[serial].append(name)
        for serial, sent in enumerate(self.sent):
            assert sent.end != DELIVERED or receivers[serial], (
                f"nobody has handled {serial}, which is delivered"
            )
            if self.within_grace:
                self._check_end(sent, receivers[serial])
        newest = {sent.value_key: sent for sent in self.sent if sent.terms.mode == "latest"}
        for sent in newest.values():
            if self.within_grace and sent.terms.ttl_ms is None and not (self.queues_fill and sent.shared):
                assert sent.end is not None
                assert sent.end[0] is not Outcome.SUPERSEDED, f"the newest value of {sent.value_key} is gone"
        assert audit(self.net.core).at_rest

    def _heal(self) -> None:
        if self.net.broker is None:
            self.net.start_broker()
        self.net.jitter_s = 0.0
        for peer in self.peers:
            peer.reaches = Reaches.BROKER
            peer.events_per_turn = None
            for index in list(peer.core.sessions):
                peer.read(index, True)
            peer.go_on()

    def _rests(self) -> bool:
        self._know()
        return all(
            peer.core.state is State.CLOSED
            or (
                peer.core.state is State.UP
                and not len(peer.core.requests)
                and not any(session.outbox.in_flight for session in peer.core.sessions.values())
            )
            for peer in self.peers
        )

    def _know(self) -> None:
        core = self.gateway.core
        if not len(core.requests):
            self.known = [session.name for session in core.sessions.values()]
        else:
            self.known = [name for name in self.known if name not in self.gone]

    def _check_order(self) -> None:
        """Nothing twice, and nothing overtaken."""
        once: set[tuple[str, int]] = set()
        for (receiver, _), serials in self.got.items():
            assert len(set(serials)) == len(serials), f"{receiver} handled an event twice"
            last: dict[Any, int] = {}
            for serial in serials:
                sent = self.sent[serial]
                if sent.terms.mode == "volatile":
                    assert (receiver, serial) not in once, f"volatile {serial} was handled twice"
                    once.add((receiver, serial))
                if sent.served and not self.within_grace:
                    # What had moved to another instance may come again from a new broker, after later ones.
                    continue
                # What another instance could not handle comes when it does; but it does so in order.
                key: Any = sent.process, sent.lane, sent.served
                if sent.terms.mode == "latest":
                    key = sent.value_key
                elif self.queues_fill:
                    # A group's events may pass a paused destination.
                    if sent.shared:
                        continue
                    key = *key, sent.to
                assert last.get(key, -1) < serial, f"{receiver} got {serial} after {last[key]}"
                last[key] = serial

    def _check_end(self, sent: Sent, receivers: list[str]) -> None:
        what = f"{sent.receipt} from {sent.sender} to {sent.to} on {sent.terms}, handled by {receivers}, {sent.end}"
        assert sent.end is not None, what
        if sent.end == (Outcome.UNKNOWN, Reason.CLOSED) and sent.sender in self.gone:
            return
        allowed = _allowed(sent.terms, served=sent.served)
        if sent.end in allowed or (sent.shared and allowed and sent.end != DELIVERED):
            return
        must = sent.whom - self.gone
        if sent.shared:
            if self.queues_fill and sent.end[0] >= Outcome.DROPPED:
                return
            assert must <= set(receivers), what
        elif sent.served:
            assert receivers, what
            assert set(receivers) <= must, what
            assert sent.end in (DELIVERED, FAILED), what
        elif must:
            assert receivers == list(must), what
            assert sent.end == (FAILED if sent.what == FAILS else DELIVERED), what

    def _check_empty(self) -> None:
        core = self.net.core
        books = audit(core).books
        assert not any(book.in_flight for book in (*books.events, *books.parts))
        assert not core.registry.ended
        for attachment in core.registry.attachments.values():
            assert not attachment.reporting
            for out in attachment.outbound:
                assert len(out.places) == 0
                assert (len(out.queue), out.queued_bytes, len(out.unacked), out.unacked_bytes) == (0, 0, 0, 0)
            for link in attachment.live_links():
                assert not link.parked
            for session in attachment.sessions.values():
                for receiving in session.receiving:
                    assert not receiving.waiting
                    assert not receiving.unsettled
                    assert not receiving.paused
                    assert receiving.waiting.values == 0
                    assert (receiving.waiting_bytes, receiving.committed_bytes) == (0, 0)
        for peer in self.peers:
            assert not any(session.outbox.held_bytes for session in peer.core.sessions.values())
            if peer.core.state is State.CLOSED:  # fenced: what it had received is its successor's business
                continue
            assert not any(peer.core.incoming.arrivals)
            assert not peer.core.incoming.to_report
            for lane in peer.core.outgoing.lanes:
                assert not lane.unsent()
                assert lane.queued_bytes == 0
            for each in peer.core.sessions.values():
                assert not each.unread
                assert not each.inbox.deadlines
                assert not each.outbox.latest
                assert not each.unhandled


def _allowed(terms: Terms, *, served: bool) -> set[tuple[Outcome, Reason]]:
    """How an event may end on its terms, though everybody is there."""
    ends = set()
    if terms.mode == "latest":
        ends.add(SUPERSEDED)
    elif terms.mode == "volatile":
        ends |= {
            LOST,
            DROPPED_LATE,
            (Outcome.DROPPED, Reason.NO_ROOM),
            (Outcome.DROPPED, Reason.SLOW_RECEIVER),
        }
        if served:
            # It was sent to an instance that was away for too long.
            ends.add((Outcome.UNKNOWN, Reason.RECEIVER_GONE))
    if terms.ttl_ms is not None:
        ends.add(EXPIRED)
    return ends
