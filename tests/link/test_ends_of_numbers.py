"""Numbers near their ends, as they are after months: events, batches, requests, stamps and attempts go on beyond."""

from __future__ import annotations

from typing import Final

import pytest
from tests.link.ends import end as how_it_ended
from tests.link.link import Net, Reaches
from tests.link.long_life import Life
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.event import Event
from lanebus.adapters.outbox import Outbox
from lanebus.broker.audit import audit
from lanebus.wire.batches import MAX_SPREAD, STAMP_MODULUS, TICKS_PER_S
from lanebus.wire.header import MAX_INCARNATION, NUMBERS_USED_UP
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

WORDS: Final = pytest.mark.parametrize("end", [1 << 31, 1 << 32], ids=["2^31", "2^32"])
STAMPS_LAST_S: Final = STAMP_MODULUS / TICKS_PER_S
"""After so long stamps begin at 0 again: almost five days."""
DAY_S: Final = 86_400.0


def number_on(outbox: Outbox, number: int) -> None:
    """As after so many events on each lane, all of them settled."""
    for lane in LANES:
        outbox._next[lane] = outbox._bases[lane] = number
        outbox._spread_ends[lane] = number + MAX_SPREAD


def batches_on(net: Net, peer: Peer, number: int, *, up: bool) -> None:
    """As after so many batches on each link of a peer, to the broker or from it, all of them acknowledged."""
    attachment = net.core.registry.attachments[peer.name]
    for lane in LANES:
        link = attachment.links[lane]
        assert link is not None
        if up:
            link.received = link.acked = number - 1
            peer.core.outgoing.lanes[lane].next_number = number
        else:
            attachment.outbound[lane].next_number = number
            peer.core.incoming.received[lane] = peer.core.incoming._acked[lane] = number - 1


def live(life: Life) -> None:
    """Waves in which everything happens; each question of a player must be handled once."""
    for _ in range(3):
        life.wave()
    life.cut()
    life.wave()
    life.restart_broker()
    life.wave()
    assert audit(life.net.core).problems == []


@pytest.mark.patches
@WORDS
def test_events_requests_sessions_and_origins_are_numbered_beyond_a_machine_word(
    end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch)
    life.net.core.registry._next_origin = end - 8
    life.gateway._next_index = end - 20
    for each in life.stay:
        for session in each.core.sessions.values():
            number_on(session.outbox, end - 20)
        attachment = life.net.core.registry.attachments[each.name]
        requests = each.core.requests
        requests.last = requests._sent = requests._told = attachment.request = end - 10
        attachment.generation = each.core._generation = end - 1
    live(life)
    # A session that begins is numbered anew; one that goes on is not.
    assert min(life.server._session.outbox._next) > end
    assert life.gateway._next_index > end
    assert life.seldom.core._generation == end - 1


@pytest.mark.patches
@pytest.mark.parametrize("who", ["server:arena", "gateway:g"])
@pytest.mark.parametrize("up", [True, False], ids=["to the broker", "from the broker"])
def test_links_whose_batches_have_no_numbers_left_are_replaced_and_nothing_is_lost(
    who: str, up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch)
    (peer,) = (each for each in life.stay if each.name == who)
    batches_on(life.net, peer, NUMBERS_USED_UP, up=up)
    life.renewals[who] = 1
    life.wave()
    assert peer.core.connects == 2
    live(life)
    assert max(lane.next_number for lane in peer.core.outgoing.lanes) < 1000
    assert max(peer.core.incoming.received) < 1000


def test_attempts_to_connect_are_counted_beyond_their_end() -> None:
    net = Net()
    server = Peer(net, "server").up()
    server.core._incarnation = MAX_INCARNATION - 2
    for number in range(6):
        server.cut()
        net.run(0.1)
        server.send(server.name, number)
        settle(server)
    assert server.core.connects == 7
    assert list(payloads(server)) == list(range(6))


class Stamped:
    """Two servers, and how old what one of them sends is for the other's handler."""

    def __init__(self, broker_age_s: float) -> None:
        self.net = Net()
        self.net.kill_broker()
        self.net.start_broker(age_s=broker_age_s)
        self.sender, self.receiver = Peer(self.net, "sender").up(), Peer(self.net, "receiver").up()
        self.ages_ms: list[float] = []
        self.receiver.program = lambda session, event: self._handle(event)

    def _handle(self, event: Event) -> None:
        self.ages_ms.append(event.age_ms)


@pytest.mark.parametrize("lane", LANES)
def test_stamps_begin_at_0_again_and_nothing_is_older_or_later_for_it(lane: Lane) -> None:
    world = Stamped(STAMPS_LAST_S - 3.0)
    for number in range(60):
        world.sender.send(world.receiver.name, number, lane=lane, ttl_ms=1_000.0)
        world.net.run(0.1)
    settle(world.sender)
    assert world.net.core.clock(world.net.now) > STAMP_MODULUS
    assert list(payloads(world.receiver)) == list(range(60))
    assert len(world.ages_ms) == 60
    assert all(0.0 < age_ms < 500.0 for age_ms in world.ages_ms), world.ages_ms


@pytest.mark.parametrize("days", [1.0, 2.0, 3.0, 5.0, 30.0])
def test_what_waits_in_an_outbox_for_days_is_delivered_and_what_is_late_by_then_is_not(days: float) -> None:
    world = Stamped(0.0)
    world.receiver.reaches = world.sender.reaches = Reaches.REFUSAL
    for peer in (world.sender, world.receiver):
        peer.cut()
    world.net.run(1.0)
    kept = world.sender.send(world.receiver.name, "kept").receipt
    late = world.sender.send(world.receiver.name, "late", ttl_ms=2 * 3_600_000.0).receipt
    for peer in (world.sender, world.receiver):
        peer.stall()
    world.net.kill_broker()
    world.net.run(days * DAY_S)
    world.net.start_broker()
    for peer in (world.sender, world.receiver):
        peer.reaches = Reaches.BROKER
        peer.go_on()
    settle(world.sender)
    assert list(payloads(world.receiver)) == ["kept"]
    assert kept is not None
    assert late is not None
    assert how_it_ended(kept) == (Outcome.DELIVERED, Reason.NONE)
    assert how_it_ended(late) == (Outcome.EXPIRED, Reason.TOO_LATE)
