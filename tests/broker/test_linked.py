"""Linked batches over the core: who gets them, who may send them, and that every link begins anew."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import CompressionConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.header import FLAG_LINKED, FLAG_LZ4, HEADER_BYTES, decode_header
from lanebus.wire.history import LZ4, LZ4_LINKED
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Join

NOISE = Random(1).randbytes(400)
LINKED = FLAG_LZ4 | FLAG_LINKED


class Watched(Peer):
    """A peer that keeps its welcomes and what it sends, and notes how batches came."""

    def __init__(self, bench: Bench, name: str, *compressions: str) -> None:
        super().__init__(bench, name, compressions=compressions)
        self.linked: list[bool] = []
        self.sizes: list[int] = []
        self.welcomes: list[bytes] = []
        self.put_frames: list[tuple[Lane, bytes]] = []

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        header = decode_header(frame, max_raw_bytes=1 << 24)
        if header.kind is Kind.BATCH:
            self.linked.append(bool(header.flags & FLAG_LINKED))
            self.sizes.append(len(frame))
        if header.kind is Kind.WELCOME and lane is Lane.CRITICAL:
            self.welcomes.append(frame)
        super().take_frame(lane, frame)

    def put(self, frame: bytes, lane: Lane = Lane.CRITICAL, *, more: bool = False) -> None:
        self.put_frames.append((lane, frame))
        super().put(frame, lane, more=more)


def talk(bench: Bench, sender: Peer, to: str, times: int = 3, lane: Lane = Lane.NORMAL) -> None:
    for _ in range(times):
        sender.send("t", to, lane, NOISE)
        bench.advance(0.2)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


def test_who_asks_for_linked_batches_gets_and_may_send_them(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    assert player.welcome is not None
    assert player.welcome.linked is True
    for lane in LANES:
        talk(bench, server, "player:1", lane=lane)
        player.settle_all()
        talk(bench, player, "server:a", lane=lane)
        server.settle_all()
    assert player.linked == [False, True, True] * len(LANES)
    assert max(player.sizes[1:3]) < 100
    assert [got.payload for got in player.got] == [NOISE] * 9 == [got.payload for got in server.got]
    sent = [decode_header(frame, max_raw_bytes=1 << 24).flags for _, frame in player.put_frames]
    assert sent.count(LINKED) == 6
    assert bench.problems() == []


def test_a_peer_of_before_gets_what_it_knows(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4)
    player.attach()
    assert b"linked" not in player.welcomes[0], "it would not take a field that it does not know"
    talk(bench, server, "player:1")
    talk(bench, player, "server:a")
    assert player.linked == [False] * 3
    assert len(server.got) == 3
    assert bench.problems() == []


@pytest.mark.parametrize("compressions", [(), (LZ4_LINKED,)])
def test_linked_batches_are_for_those_who_can_undo_lz4_alone(
    bench: Bench, server: Peer, compressions: tuple[str, ...]
) -> None:
    player = Watched(bench, "player:1", *compressions)
    player.attach()
    assert b"linked" not in player.welcomes[0]
    talk(bench, server, "player:1")
    assert player.linked == [False] * 3


@pytest.mark.parametrize(
    "compression", [CompressionConfig(linked=False), CompressionConfig(threshold_bytes=0)]
)
def test_it_can_be_switched_off(compression: CompressionConfig) -> None:
    bench = Bench(small_config(compression=compression))
    server = Peer(bench, "server:a").attach()
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    assert b"linked" not in player.welcomes[0]
    talk(bench, server, "player:1")
    assert player.linked == [False] * 3


def test_lanes_and_receivers_have_histories_of_their_own(bench: Bench, server: Peer) -> None:
    first = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    second = Watched(bench, "player:2", LZ4, LZ4_LINKED)
    first.attach()
    second.attach()
    talk(bench, server, "player:1", times=1)
    talk(bench, server, "player:2", times=1)
    talk(bench, server, "player:1", times=1, lane=Lane.LOW)
    assert (first.linked, second.linked) == ([False, False], [False])


def test_histories_begin_empty_after_a_resume(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    talk(bench, server, "player:1")
    talk(bench, player, "server:a")
    player.settle_all()
    player.linked.clear()
    player.attach()
    assert player.welcome is not None
    assert player.welcome.resumed
    talk(bench, server, "player:1")
    talk(bench, player, "server:a")
    assert player.linked == [False, True, True]
    assert server.errors == player.errors == []
    assert bench.problems() == []


def test_what_a_resumed_peer_can_do_is_what_it_says_then(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    talk(bench, server, "player:1")
    player.settle_all()
    player.linked.clear()
    player.compressions = [LZ4]
    player.attach()
    talk(bench, server, "player:1")
    assert player.linked == [False] * 3
    assert len(player.got) == 6


def test_parked_batches_are_history_when_they_arrive(bench: Bench, server: Peer) -> None:
    for number in range(1, 4):
        server.send("t", "player:1", Lane.NORMAL, NOISE, after=1 if number < 3 else 0)
    player = Peer(bench, "player:1").attach()
    assert player.got == []
    server.request_number = 1
    server.say(Kind.JOIN, Join(request=1, group="g", member="player:1"))
    bench.advance(0.3)
    assert [got.payload for got in player.got] == [NOISE] * 3
    assert server.errors == []


def test_a_linked_batch_on_a_link_that_did_not_agree_to_it_ends_the_link(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    talk(bench, player, "server:a", times=2)
    lane, linked = next(
        (lane, frame) for lane, frame in player.put_frames if frame[3] == Kind.BATCH and frame[4] == LINKED
    )
    old = Peer(bench, "player:2", compressions=(LZ4,)).attach()
    old.put(linked[:15] + b"\x01" + linked[16:], lane)
    bench.turn()
    assert old.errors == [ErrorNumber.UNKNOWN_FLAGS]


def test_a_batch_that_refers_to_another_link_ends_the_link(bench: Bench, server: Peer) -> None:
    player = Watched(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    talk(bench, player, "server:a", times=2)
    lane, linked = next(
        (lane, frame) for lane, frame in player.put_frames if frame[3] == Kind.BATCH and frame[4] == LINKED
    )
    other = Peer(bench, "player:2").attach()
    other.put(linked[:15] + b"\x01" + linked[16:], lane)
    bench.turn()
    assert other.errors == [ErrorNumber.BAD_COMPRESSION]


class Deaf(Watched):
    """A peer that looks at nothing once it is attached, so that it can say anything."""

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        if not self.up:
            super().take_frame(lane, frame)


@given(
    cuts=st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=6)), min_size=1, max_size=4),
    keeps_header=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_mutated_linked_batches_raise_nothing_and_disturb_nobody_else(
    cuts: list[tuple[int, bytes]], keeps_header: bool
) -> None:
    bench = Bench()
    server, bystander = Peer(bench, "server:a").attach(), Peer(bench, "server:b").attach()
    player = Deaf(bench, "player:1", LZ4, LZ4_LINKED)
    player.attach()
    talk(bench, player, "server:a", times=2)
    # The third is made as the others were, and changed on its way.
    route = player.routes[Lane.NORMAL]
    assert route is not None
    player.routes[Lane.NORMAL] = None
    player.send("t", "server:a", Lane.NORMAL, NOISE)
    player.routes[Lane.NORMAL] = route
    _, frame = player.put_frames[-1]
    assert frame[4] == LINKED
    mutated = bytearray(frame)
    for position, put in cuts:
        place = HEADER_BYTES + position if keeps_header else position
        mutated[place : place + len(put)] = put
    player.put(bytes(mutated), Lane.NORMAL)
    bench.advance(1.0)
    assert bystander.errors == server.errors == []
    bystander.send("t", "server:a", Lane.NORMAL, NOISE)
    bench.advance(1.0)
    assert server.got[-1].sender == "server:b"
