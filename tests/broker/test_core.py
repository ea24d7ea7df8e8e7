"""The core: what is legal when, what a peer's mistakes cost it and nobody else, and what time does to links."""

import logging
import random

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.samples import BODIES, say

from lanebus.wire.batches import TICKS_PER_S, UpEvent
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import (
    FLAG_LZ4,
    VERSION,
    decode_header,
    encode_header,
)
from lanebus.wire.kinds import LEGAL, REQUESTS, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import ErrorMessage, LaneHello
from lanebus.wire.names import Role
from lanebus.wire.pings import Ping

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
    Peer(bench, "server:b").attach().put(bytes(64))
    assert bench.core.counters.errors == {"short_frame": 3, "bad_magic": 1}


def test_a_frame_of_an_older_connection_is_told_by_its_incarnation(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    peer.say(Kind.PING, BODIES[Kind.PING], incarnation=peer.incarnation + 7)
    bench.turn()
    assert peer.errors == [ErrorNumber.OLD_INCARNATION]


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


def test_a_fresh_hello_of_the_same_process_replaces_links_that_the_broker_thinks_alive(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.attach()
    assert player.up
    server.send("t", "player:1")
    bench.advance(0.1)
    assert player.topics() == ["t"]
    assert len(list(bench.core.links)) == 6


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
    assert len(list(core.links)) == 3
    assert list(core.registry.attachments) == list(core.directory.peers) == ["server:a"]
    assert core.registry.ended == {}
    assert core.registry.totals.sessions == 30
    assert all(not receiving.unsettled for receiving in bench.session("server:a").receiving)
    assert len(core.timers) < 10


# Ping, clock and goodbye


def rtt_ms_of(bench: Bench, name: str) -> float | None:
    session = bench.session(name)
    return session.quality.figures(session.attachment.line, None, bench.now).rtt_ms


def test_a_ping_is_answered_with_its_clock_and_the_brokers(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    bench.now = 3.0
    peer.say(Kind.PING, Ping(12_345, 20_000, []))
    bench.turn()
    pong = peer.last(Kind.PONG)
    assert (pong.clock_us, pong.clock) == (12_345, 3 * TICKS_PER_S)
    assert rtt_ms_of(bench, "player:1") == 20.0


def test_a_gateways_round_trip_is_that_of_its_players_too(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2", rtt_ms=35.0)
    gateway.say(Kind.PING, Ping(1, 20_000, [(9, [[0] * 7] * 3)]))
    assert [rtt_ms_of(bench, f"player:{number}") for number in (1, 2)] == [20.0, 55.0]


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
    assert not list(bench.core.links)


def test_rare_messages_of_peers_are_logged_at_debug_and_nothing_secret_in_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lanebus.broker")
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.JOIN, group="room", member="server:a")
    server.send("t", "server:a")
    server.ping()
    bench.advance(0.1)
    server.settle_all()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert told == [
        "< a stranger hello: server server:a, anew",
        "> server:a welcome: anew, generation 1",
        "< a stranger hello: ",
        "> server:a welcome: lane normal",
        "< a stranger hello: ",
        "> server:a welcome: lane low",
        "< server:a join: request 1, group room, member server:a",
        "> server:a done: request 1",
    ]
