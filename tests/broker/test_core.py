"""The core: what is legal when, what a peer's mistakes cost it and nobody else, and what time does to links."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.batches import TICKS_PER_S, UpEvent
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import (
    FLAG_LZ4,
    HEADER_BYTES,
    VERSION,
    decode_header,
    encode_header,
)
from lanebus.wire.kinds import LEGAL, REQUESTS, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import (
    Ack,
    Assign,
    Bye,
    Close,
    Done,
    ErrorMessage,
    Hello,
    Join,
    LaneHello,
    LaneWelcome,
    Leave,
    Open,
    Pause,
    Ping,
    Pong,
    Register,
    Served,
    Settle,
)
from lanebus.wire.names import Role

PROCESS = b"p" * 16
BODIES = {
    Kind.HELLO: Hello(name="player:7", role=Role.CLIENT, process=PROCESS, versions=(VERSION, VERSION)),
    Kind.WELCOME: LaneWelcome(lane=1),
    Kind.ACK: Ack([0, 0, 0]),
    Kind.SETTLE: Settle([0, 0, 0], []),
    Kind.PING: Ping(1, 0, []),
    Kind.PONG: Pong(1, 1),
    Kind.OPEN: Open(request=1, index=1, name="player:8", process=PROCESS),
    Kind.CLOSE: Close(request=1, index=1),
    Kind.REGISTER: Register(request=1, service="s", topics=[]),
    Kind.ASSIGN: Assign(request=1, player="player:1", service="s", instance=None),
    Kind.JOIN: Join(request=1, group="g", member="player:1"),
    Kind.LEAVE: Leave(request=1, group="g", member="player:1"),
    Kind.DONE: Done(request=1),
    Kind.PAUSE: Pause(session=0, lane=Lane.LOW, destination=""),
    Kind.UNPAUSE: Pause(session=0, lane=Lane.LOW, destination=""),
    Kind.SERVED: Served(session=0, service="s", instance="server:a"),
    Kind.BYE: Bye(),
    Kind.ERROR: ErrorMessage(number=107, text="no"),
}


def say(peer: Peer, kind: Kind, lane: Lane) -> None:
    """Send a well-formed message of `kind` on `lane`, legal or not."""
    if kind is Kind.BATCH:
        peer.send("t", "server:z", lane)
    else:
        peer.say(kind, BODIES[kind], lane)


# What is legal when


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("kind", Kind)
def test_on_a_ready_link_a_kind_is_legal_or_error_201_and_the_end_of_the_link(
    bench: Bench, kind: Kind, lane: Lane
) -> None:
    bystander = Peer(bench, "server:b").attach()
    role = "gateway:g" if kind in (Kind.OPEN, Kind.CLOSE) else "server:a"
    peer = Peer(bench, role).attach()
    say(peer, kind, lane)
    bench.turn()
    legal = kind in LEGAL[Side.PEER][LinkState.READY][lane]
    if legal:
        assert peer.errors == []
        assert peer.up == (kind not in (Kind.ERROR, Kind.BYE)) or kind in (Kind.ERROR, Kind.BYE)
    else:
        assert peer.errors == [ErrorNumber.NOT_LEGAL_HERE]
    ended = not legal or kind in (Kind.ERROR, Kind.BYE)
    attachment = bench.core.registry.attachments.get(role)
    links = attachment.links if attachment is not None else [None, None, None]
    assert links == [None, None, None] if ended else None not in links
    assert bystander.up
    assert bench.attachment("server:b").links.count(None) == 0
    assert bench.problems() == []


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.HELLO}))
def test_a_frame_without_a_session_is_answered_and_not_punished(bench: Bench, kind: Kind, lane: Lane) -> None:
    stranger = Peer(bench, "server:z")
    stranger.routes[lane] = bench.connect(lane, stranger)
    say(stranger, kind, lane)
    bench.turn()
    assert stranger.errors == ([] if kind is Kind.ERROR else [ErrorNumber.NO_SESSION])
    assert bench.core.counters.errors == {}
    assert bench.core.registry.attachments == {}


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.HELLO, Kind.ERROR}))
def test_after_a_link_has_ended_its_frames_have_no_session(bench: Bench, kind: Kind) -> None:
    peer = Peer(bench, "server:a").attach()
    route = peer.routes[Lane.CRITICAL]
    assert route is not None
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    say(peer, kind, Lane.CRITICAL)
    bench.turn()
    assert peer.errors == [ErrorNumber.NO_SESSION]


def test_every_kind_of_a_peer_has_a_body_here_and_a_handler_there(bench: Bench) -> None:
    assert set(BODIES) == set(Kind) - {Kind.BATCH}
    legal = LEGAL[Side.PEER][LinkState.READY][Lane.CRITICAL]
    assert legal >= REQUESTS


# Frames that are wrong


def hello_frame(**header: int) -> bytes:
    body = encode_body(BODIES[Kind.HELLO])
    return encode_header(Kind.HELLO, Lane.CRITICAL, len(body), **({"incarnation": 1} | header)) + body


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"", ErrorNumber.SHORT_FRAME),
        (b"\xb5L", ErrorNumber.SHORT_FRAME),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrorNumber.BAD_MAGIC),
        (hello_frame()[:2] + b"\x09" + hello_frame()[3:], ErrorNumber.UNKNOWN_VERSION),
        (hello_frame()[:3] + b"\xee" + hello_frame()[4:], ErrorNumber.UNKNOWN_KIND),
        (hello_frame()[:4] + b"\x80" + hello_frame()[5:], ErrorNumber.UNKNOWN_FLAGS),
        (hello_frame()[:5] + b"\x01" + hello_frame()[6:], ErrorNumber.WRONG_LANE),
        (hello_frame()[:5] + b"\x09" + hello_frame()[6:], ErrorNumber.WRONG_LANE),
        (hello_frame()[:-1], ErrorNumber.BAD_BODY),
        (hello_frame() + b"x", ErrorNumber.BAD_BODY),
        (hello_frame(flags=FLAG_LZ4), ErrorNumber.BAD_COMPRESSION),
        (encode_header(Kind.HELLO, Lane.CRITICAL, 1 << 30, incarnation=1), ErrorNumber.FRAME_TOO_LARGE),
        (hello_frame() + bytes(9000), ErrorNumber.FRAME_TOO_LARGE),
        (encode_header(Kind.HELLO, Lane.CRITICAL, 1, incarnation=1) + b"\xc0", ErrorNumber.BAD_BODY),
    ],
)
@pytest.mark.parametrize("attached", [False, True])
def test_a_wrong_frame_is_a_numbered_error_that_is_counted(
    bench: Bench, frame: bytes, error: ErrorNumber, attached: bool
) -> None:
    bystander = Peer(bench, "server:b").attach()
    peer = Peer(bench, "server:a")
    if attached:
        peer.attach()
    else:
        peer.incarnation = 1
        peer.routes[Lane.CRITICAL] = bench.connect(Lane.CRITICAL, peer)
    peer.put(frame)
    bench.turn()
    if attached and error in (ErrorNumber.BAD_BODY, ErrorNumber.BAD_COMPRESSION):
        error = ErrorNumber.NOT_LEGAL_HERE  # a hello on a ready link is wrong before its body is looked at
    assert peer.errors == [error]
    assert bench.core.counters.errors == {error.label: 1}
    assert bystander.up
    if attached:
        assert bench.attachment("server:a").links == [None, None, None]


def test_several_frames_in_a_message_are_an_error(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    peer.put(b"anything", more=True)
    bench.turn()
    assert peer.errors == [ErrorNumber.SEVERAL_FRAMES]


def test_errors_are_counted_by_reason(bench: Bench) -> None:
    for _ in range(3):
        Peer(bench, "server:a").attach().put(b"short")
    Peer(bench, "server:b").attach().send("two words", "all")
    assert bench.core.counters.errors == {"short_frame": 3, "bad_topic": 1}


def test_a_frame_of_an_older_connection_is_told_by_its_incarnation(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    peer.say(Kind.PING, BODIES[Kind.PING], incarnation=peer.incarnation + 7)
    bench.turn()
    assert peer.errors == [ErrorNumber.OLD_INCARNATION]


def test_an_acknowledgement_of_what_was_never_sent_ends_the_link(bench: Bench) -> None:
    in_header, in_message = Peer(bench, "server:a").attach(), Peer(bench, "server:b").attach()
    in_header.say(Kind.PING, BODIES[Kind.PING], ack=1)
    in_message.say(Kind.ACK, Ack([0, 1, 0]))
    bench.turn()
    assert in_header.errors == in_message.errors == [ErrorNumber.BAD_ACK]


class Deaf(Peer):
    """A peer that looks at nothing once it is attached, so that it can say anything."""

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        if not self.up:
            super().take_frame(lane, frame)


def some_frames(bench: Bench) -> list[tuple[Peer, Lane, bytes]]:
    """Every kind of legal frame, as three attached peers would send it next."""
    frames: list[tuple[Peer, Lane, bytes]] = []

    class Tap(Peer):
        def put(self, frame: bytes, lane: Lane = Lane.CRITICAL, *, more: bool = False) -> None:
            frames.append((self, lane, frame))

    for name in ("server:a", "gateway:g", "player:1"):
        tap = Tap(bench, name)
        for lane in LANES:
            say(tap, Kind.BATCH, lane)
        for kind in sorted(BODIES):
            tap.say(kind, BODIES[kind], incarnation=1)
    return frames


@given(
    data=st.data(),
    cuts=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=6)), min_size=1, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_mutated_frames_raise_nothing_and_disturb_nobody_else(
    data: st.DataObject, cuts: list[tuple[int, bytes]]
) -> None:
    bench = Bench()
    bystander = Peer(bench, "server:b").attach()
    peers = {name: Deaf(bench, name).attach() for name in ("server:a", "gateway:g", "player:1")}
    for _ in range(data.draw(st.integers(1, 3))):
        tap, lane, frame = data.draw(st.sampled_from(some_frames(bench)))
        mutated = bytearray(frame)
        for position, put in cuts:
            mutated[position : position + len(put)] = put
        if data.draw(st.booleans()):
            # A body that is wrong behind a header that is right.
            mutated[:HEADER_BYTES] = frame[:20] + (len(mutated) - HEADER_BYTES).to_bytes(4, "big")
        peers[tap.name].put(bytes(mutated), lane)
        bench.turn()
    bench.advance(1.0)
    assert bystander.up
    assert bystander.errors == []
    bystander.send("t", "server:b")
    bench.advance(0.1)
    assert bystander.topics() == ["t"]
    assert bench.problems() == []


@given(
    frame=st.binary(max_size=120),
    lane=st.sampled_from(LANES),
    kind=st.sampled_from(Kind),
    attached=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_random_bodies_raise_nothing(frame: bytes, lane: Lane, kind: Kind, attached: bool) -> None:
    bench = Bench()
    peer = Deaf(bench, "server:a")
    if attached:
        peer.attach()
    else:
        peer.welcomed = [True for _ in LANES]
        peer.incarnation = 1
        peer.routes[lane] = bench.connect(lane, peer)
    peer.put(encode_header(kind, lane, len(frame), incarnation=1, count=1, number=1) + frame, lane)
    peer.put(frame, lane)
    bench.advance(0.5)
    assert bench.problems() == []


def test_the_largest_numbers_that_the_wire_allows_raise_nothing(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    most = (1 << 53) - 1
    books = [[most] * 7 for _ in LANES]
    peer.say(Kind.PING, Ping(most, most, [(0, books)]))
    peer.send_batch([UpEvent(0, 1, (1 << 32) - 1, "t", "server:a", b"")], bases=[(0, most)])
    bench.advance(1.0)
    assert not peer.errors


# Hello


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"versions": (VERSION + 1, VERSION + 3)}, ErrorNumber.NO_COMMON_VERSION),
        ({"versions": (0, VERSION - 1)}, ErrorNumber.NO_COMMON_VERSION),
        ({"name": "player:1"}, ErrorNumber.BAD_NAME),
        ({"name": "server:two words"}, ErrorNumber.BAD_NAME),
        ({"name": "x" * 150}, ErrorNumber.BAD_NAME),
        ({"role": Role.GATEWAY}, ErrorNumber.BAD_NAME),
        ({"process": b"short"}, ErrorNumber.BAD_BODY),
    ],
)
def test_a_hello_that_cannot_be_welcomed_is_answered_with_an_error(
    bench: Bench, changes: dict[str, object], error: ErrorNumber
) -> None:
    peer = Peer(bench, "server:a")
    peer.say_hello(**changes)
    bench.turn()
    assert peer.errors == [error]
    assert bench.core.registry.attachments == {}


def test_a_newer_peer_that_still_speaks_this_version_is_welcome(bench: Bench) -> None:
    peer = Peer(bench, "server:a")
    peer.say_hello(versions=(VERSION, VERSION + 5))
    bench.turn()
    assert peer.welcome is not None
    assert peer.welcome.version == VERSION


def test_the_welcome_says_what_holds_between_the_two(bench: Bench) -> None:
    bench.core.ports = [7001, 7002, 7003]
    bench.now = 2.5
    welcome = Peer(bench, "player:1").attach().welcome
    assert welcome is not None
    config = bench.core.config
    assert welcome.ports == [7001, 7002, 7003]
    assert welcome.clock == 2.5 * TICKS_PER_S
    assert welcome.intervals_ms == [16.0, 50.0, 200.0]
    assert welcome.holds_ms == [12.0, 45.0, 190.0]
    assert (welcome.window_batches, welcome.credit_bytes) == (8, config.egress.credit_bytes)
    assert welcome.limits.event_bytes == config.limits.event_bytes
    assert welcome.lease_ms == config.sessions.lease_s * 1e3


@pytest.mark.parametrize("lane", [Lane.NORMAL, Lane.LOW])
def test_a_link_with_a_wrong_token_is_of_no_session(bench: Bench, lane: Lane) -> None:
    peer = Peer(bench, "player:1")
    peer.say_hello()
    bench.turn()
    peer.say_lane_hello(lane, token=b"wrong")
    bench.turn()
    assert peer.errors == [ErrorNumber.NO_SESSION]
    assert bench.attachment("player:1").links[Lane.CRITICAL] is not None


def test_a_link_of_another_incarnation_is_of_no_session(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    route = bench.connect(Lane.LOW, peer)
    body = encode_body(LaneHello(token=peer.token))
    bench.receive(Lane.LOW, route, encode_header(Kind.HELLO, Lane.LOW, len(body), incarnation=77) + body)
    assert bench.core.counters.errors == {"no_session": 1}
    assert bench.attachment("player:1").links.count(None) == 0


def test_a_lane_has_one_link(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    peer.say_lane_hello(Lane.LOW)
    assert bench.core.counters.errors == {"not_legal_here": 1}
    assert bench.attachment("player:1").links.count(None) == 0


# Links that end


def test_a_lost_link_ends_all_three(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    route = peer.routes[Lane.LOW]
    assert route is not None
    bench.core.lost(Lane.LOW, route, bench.now)
    bench.core.lost(Lane.LOW, route, bench.now)
    attachment = bench.attachment("player:1")
    assert attachment.links == [None, None, None]
    assert attachment.away_since == bench.now


def test_a_silent_link_ends_with_its_lease_and_any_traffic_proves_life(bench: Bench) -> None:
    silent, pinging, sending = (Peer(bench, f"server:{name}").attach() for name in "abc")
    for _ in range(6):
        bench.advance(1.0)
        pinging.ping()
        sending.send("t", "server:z", Lane.LOW)
    assert bench.attachment("server:a").links == [None, None, None]
    assert None not in bench.attachment("server:b").links
    assert None not in bench.attachment("server:c").links
    silent.ping()
    bench.turn()
    assert silent.errors == [ErrorNumber.NO_SESSION]


def test_an_attachment_that_does_not_complete_its_links_is_ended(bench: Bench) -> None:
    peer = Peer(bench, "player:1")
    peer.say_hello()
    for _ in range(3):
        bench.advance(1.0)
        peer.ping()
    bench.advance(0.1)
    assert peer.errors == [ErrorNumber.NO_SESSION]
    assert bench.attachment("player:1").away_since is not None


def test_a_fresh_hello_of_the_same_process_replaces_links_that_the_broker_thinks_alive(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.attach()
    assert player.up
    server.send("t", "player:1")
    bench.advance(0.1)
    assert player.topics() == ["t"]
    assert sum(len(links) for links in bench.core._links) == 6


def test_a_peer_that_reports_an_error_is_away(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    peer.say(Kind.ERROR, ErrorMessage(number=107, text="what was that?"))
    assert bench.attachment("player:1").away_since == bench.now


def test_connections_that_come_and_go_leave_nothing_behind(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    for number in range(30):
        player = Peer(bench, f"player:{number}").attach()
        player.send("up", "server:a")
        server.send("down", f"player:{number}")
        bench.advance(0.3)
        player.settle_all()
        server.settle_all()
        bench.advance(0.3)
        player.bye()
    server.ping()
    bench.advance(2.0)
    core = bench.core
    assert sum(len(links) for links in core._links) == 3
    assert list(core.registry.attachments) == list(core.directory.peers) == ["server:a"]
    assert core.registry.ended == {}
    assert core.registry.totals.sessions == 30
    assert all(not receiving.unsettled for receiving in bench.session("server:a").receiving)
    assert len(core.timers) < 10


# Ping, clock and goodbye


def test_a_ping_is_answered_with_its_clock_and_the_brokers(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    bench.now = 3.0
    peer.say(Kind.PING, Ping(12_345, 20_000, []))
    bench.turn()
    pong = peer.last(Kind.PONG)
    assert (pong.clock_us, pong.clock) == (12_345, 3 * TICKS_PER_S)
    assert bench.session("player:1").quality.rtt_ms == 20.0


def test_a_gateways_round_trip_is_not_that_of_its_players(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.say(Kind.PING, Ping(1, 20_000, [(9, [[0] * 7] * 3)]))
    assert bench.session("player:1").quality.rtt_ms is None


def test_goodbye_flushes_every_lane_and_says_so(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    away = Peer(bench, "player:2").attach()
    route = away.routes[Lane.CRITICAL]
    assert route is not None
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    for lane in LANES:
        server.send("t", "player:1", lane)
        server.send("t", "player:9", lane)
    bench.core.goodbye(bench.now, "maintenance")
    bench.turn()
    assert len(player.got) == 3
    assert server.last(Kind.BYE).reason == "maintenance"
    assert Kind.SETTLE in server.kinds()
    assert Kind.BYE not in away.kinds()


def test_the_core_always_wants_another_turn(bench: Bench) -> None:
    assert bench.core.next_timer() == 1.0
    bench.advance(10.5)
    assert bench.core.next_timer() == pytest.approx(11.0, abs=0.1)


def test_headers_of_answers_to_strangers_can_be_read(bench: Bench) -> None:
    bench.core.receive(Lane.LOW, b"route", b"garbage" * 9, 0.0)
    ((lane, route, frame),) = bench.core.take()
    assert (lane, route) == (Lane.LOW, b"route")
    assert decode_header(frame, max_raw_bytes=1000).kind is Kind.ERROR
    with pytest.raises(ProtocolError):
        decode_header(frame, max_raw_bytes=1)


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_of_garbage_leaves_no_state(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(500):
        route = number.to_bytes(5, "big")
        bench.core.receive(chance.choice(LANES), route, chance.randbytes(chance.randrange(80)), 0.0)
    assert len(bench.core.take()) == 500
    assert not any(bench.core._links)
