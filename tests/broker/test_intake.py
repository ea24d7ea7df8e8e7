"""Intake: batches are numbered, accepted whole or not at all, and wait for the requests that they depend on."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import SessionsConfig
from lanebus.conf.policy import PeerPolicy, Policy, PolicyConfig
from lanebus.wire.batches import MAX_SPREAD, STAMP_MODULUS, UpEvent
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


def raw_event(
    number: int, *, topic: str = "t", to: str | list[str] = "player:1", payload: bytes = b""
) -> UpEvent:
    return UpEvent(0, number, 0, topic, to, payload)


# Numbers of batches


@pytest.mark.parametrize("number", [0, 2, 9])
def test_a_batch_that_is_not_the_next_ends_the_link(bench: Bench, server: Peer, number: int) -> None:
    server.send_batch([raw_event(1)], number=number)
    bench.turn()
    assert server.errors == [ErrorNumber.BATCH_GAP]
    assert bench.session("server:a").sending[Lane.CRITICAL].book.accepted == 0


def test_a_batch_past_the_window_ends_the_link(bench: Bench, server: Peer) -> None:
    window = bench.core.config.window.batches
    # Each waits for a request that never comes, so that none of them is acknowledged.
    for number in range(1, window + 1):
        server.send_batch([raw_event(number)], after=1)
    assert not server.errors
    server.send_batch([raw_event(window + 1)], after=1)
    bench.turn()
    assert server.errors == [ErrorNumber.WINDOW_EXCEEDED]


def test_lanes_count_on_their_own(bench: Bench, server: Peer, player: Peer) -> None:
    for lane in Lane:
        server.send("t", "player:1", lane)
        server.send("t", "player:1", lane)
    bench.advance(1.0)
    assert [player.numbers(lane) for lane in Lane] == [[1, 2], [1, 2], [1, 2]]


# What an event may be


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (raw_event(MAX_SPREAD + 1), ErrorNumber.BATCH_GAP),
        (UpEvent(1, 2, 0, "t", "player:1", b""), ErrorNumber.UNKNOWN_SESSION_INDEX),
    ],
)
def test_an_event_that_is_nobodys_keeps_its_whole_batch_out_and_ends_the_link(
    bench: Bench, server: Peer, player: Peer, event: UpEvent, error: ErrorNumber
) -> None:
    server.send_batch([raw_event(1), event], bases=[(0, 1)])
    bench.advance(1.0)
    assert server.errors == [error]
    assert player.got == []
    assert bench.core.counters.errors == {error.label: 1}
    assert bench.problems() == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (raw_event(2, topic="two words"), Reason.BAD_TOPIC),
        (raw_event(2, topic=""), Reason.BAD_TOPIC),
        (raw_event(2, topic="x" * 1_000), Reason.BAD_TOPIC),
        (raw_event(2, payload=bytes(1025)), Reason.TOO_LARGE),
        (raw_event(2, to="nowhere"), Reason.BAD_DESTINATION),
        (raw_event(2, to=[]), Reason.BAD_DESTINATION),
        (raw_event(2, to=["player:1"] * 5), Reason.BAD_DESTINATION),
    ],
    ids=range(7),
)
def test_one_bad_event_ends_with_its_reason_and_its_batch_goes_on(
    bench: Bench, server: Peer, player: Peer, event: UpEvent, reason: Reason
) -> None:
    server.send_batch([raw_event(1), event, raw_event(3)], bases=[(0, 1)])
    bench.advance(1.0)
    assert server.errors == []
    assert player.numbers() == [1, 3]
    book = bench.session("server:a").sending[Lane.CRITICAL].book
    assert (book.accepted, book.ended[Outcome.REFUSED]) == (3, 1)
    (row,) = bench.core.settling.refusals.of_sender("server:a")
    assert row.reason is reason
    assert len(row.topic) <= 128
    assert bench.problems() == []


def test_the_largest_event_and_the_longest_list_are_accepted(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send("t", "player:1", payload=bytes(1024))
    server.send("t", ["player:1", "player:2", "player:3", "player:4"])
    bench.advance(1.0)
    assert player.numbers() == [1, 2]


def test_valid_topics_are_remembered_within_bounds(bench: Bench, server: Peer, player: Peer) -> None:
    for number in range(90):
        server.send_batch([server.event(f"t{number}.{each}", "player:1") for each in range(100)])
        bench.advance(0.05)
        player.settle_all()
    assert player.batches() > 0
    assert len(bench.core.intake._valid_topics) <= 8192


# Numbers of events


def test_an_event_sent_again_is_a_duplicate(bench: Bench, server: Peer, player: Peer) -> None:
    for _ in range(3):
        server.send_batch([raw_event(1)], bases=[(0, 1)])
    bench.advance(1.0)
    assert player.numbers() == [1]
    assert bench.core.counters.duplicates == 2
    assert bench.session("server:a").sending[Lane.CRITICAL].book.accepted == 1


def test_what_a_cut_swallowed_is_sent_again_and_accepted_once(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send("t", "player:1")
    server.send("t", "player:1")
    server.cut()
    server.event("t", "player:1")
    server.attach()
    server.send("t", "player:1")
    bench.advance(1.0)
    assert player.numbers() == [1, 2, 4]
    assert bench.core.counters.duplicates == 2
    assert bench.problems() == []


def test_skipped_numbers_are_accepted_when_they_come_after_all(
    bench: Bench, server: Peer, player: Peer
) -> None:
    for number in (3, 1, 2, 2):
        server.send_batch([raw_event(number)], bases=[(0, 1)])
    bench.advance(1.0)
    assert sorted(player.numbers()) == [1, 2, 3]
    assert bench.core.counters.duplicates == 1


def test_numbers_below_the_base_are_settled_and_not_accepted(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send_batch([raw_event(9)], bases=[(0, 9)])
    server.send_batch([raw_event(8)], bases=[(0, 9)])
    bench.advance(1.0)
    assert player.numbers() == [9]


def test_a_base_of_a_session_that_is_not_open_is_ignored(bench: Bench, server: Peer, player: Peer) -> None:
    server.send_batch([raw_event(1)], bases=[(0, 1), (7, 5)])
    bench.advance(1.0)
    assert player.numbers() == [1]


# After a request


def test_a_batch_waits_for_the_request_that_it_depends_on(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("early", "group:room", Lane.LOW, after=1)
    bench.advance(1.0)
    assert player.got == []
    server.request(Kind.JOIN, group="room", member="player:1")
    bench.advance(1.0)
    assert player.topics() == ["early"]
    assert server.dones[1].error == 0


def test_batches_behind_a_waiting_one_wait_too(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("first", "player:1", after=2)
    server.send("second", "player:1")
    server.request(Kind.JOIN, group="room", member="player:1")
    bench.advance(0.1)
    assert player.got == []
    server.send("other_lane", "player:1", Lane.NORMAL)
    bench.advance(0.1)
    server.request(Kind.LEAVE, group="room", member="player:1")
    bench.advance(0.1)
    assert player.topics() == ["other_lane", "first", "second"]


def test_a_waiting_batch_is_not_acknowledged_and_comes_again_after_a_cut(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send("t", "group:room", after=1)
    bench.advance(1.0)
    assert server.unacked[Lane.CRITICAL]
    server.cut()
    server.attach()
    server.request(Kind.JOIN, group="room", member="player:1")
    bench.advance(1.0)
    assert player.numbers() == [1]
    assert not server.unacked[Lane.CRITICAL]
    assert bench.core.counters.duplicates == 0


def test_a_bad_event_of_a_waiting_batch_ends_when_its_time_comes(bench: Bench, server: Peer) -> None:
    server.send_batch([raw_event(1, topic="two words")], Lane.NORMAL, after=1)
    bench.turn()
    book = bench.session("server:a").sending[Lane.NORMAL].book
    assert book.accepted == 0
    server.request(Kind.LEAVE, group="room", member="player:1")
    bench.turn()
    assert (book.accepted, book.ended[Outcome.REFUSED], server.errors) == (1, 1, [])


# Refusals


@pytest.mark.parametrize(
    ("sender", "to", "reason"),
    [
        ("server:a", "player:9", Reason.UNKNOWN_DESTINATION),
        ("server:a", "group:none", Reason.UNKNOWN_DESTINATION),
        ("server:a", ["player:8", "player:9"], Reason.NOBODY),
        ("server:a", None, Reason.UNKNOWN_DESTINATION),
        ("player:1", None, Reason.NO_SERVICE),
        ("player:1", "player:1", Reason.NOT_ALLOWED),
        ("player:1", "all", Reason.NOT_ALLOWED),
    ],
)
def test_an_event_that_nobody_gets_is_accepted_and_refused_with_a_reason(
    bench: Bench, server: Peer, player: Peer, sender: str, to: str | list[str] | None, reason: Reason
) -> None:
    peer = {"server:a": server, "player:1": player}[sender]
    number = peer.send("t", to)
    bench.advance(1.0)
    assert peer.end_of(number) == (Outcome.REFUSED, reason)
    assert not peer.errors
    sending = bench.session(sender).sending[Lane.CRITICAL]
    assert sending.book.as_dict() == sending.parts.as_dict()
    assert (sending.book.accepted, sending.book.ended[Outcome.REFUSED]) == (1, 1)


def test_a_held_time_beyond_reason_only_makes_the_batch_leave_at_once(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send("t", "player:1", held=STAMP_MODULUS - 1)
    bench.turn()
    assert player.numbers() == [1]
    assert player.got[0].held >= STAMP_MODULUS - 1


# A gateway's sessions


@pytest.fixture
def gateway(bench: Bench) -> Peer:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:11")
    gateway.open(2, "player:12")
    return gateway


def test_events_of_a_closed_session_do_not_cut_off_the_others(
    bench: Bench, server: Peer, gateway: Peer
) -> None:
    late = [
        gateway.event("late", "server:a", Lane.NORMAL, session=1),
        gateway.event("fine", "server:a", Lane.NORMAL, session=2),
    ]
    gateway.request(Kind.CLOSE, index=1, books=[])
    gateway.send_batch(late, Lane.NORMAL)
    bench.advance(1.0)
    assert not gateway.errors
    assert server.topics() == ["fine"]
    assert gateway.end_of(1, Lane.NORMAL, 1) == (Outcome.UNKNOWN, Reason.SENDER_GONE)
    assert bench.problems() == []


def test_events_of_a_session_that_could_not_be_opened_do_not_cut_off_the_others(
    bench: Bench, server: Peer, gateway: Peer
) -> None:
    gateway.open(3, "no player")
    gateway.send("t", "server:a", session=3, after=3)
    gateway.send("t", "server:a", session=2)
    bench.advance(1.0)
    assert gateway.dones[3].error == ErrorNumber.BAD_NAME
    assert gateway.end_of(1, session=3) == (Outcome.UNKNOWN, Reason.SENDER_GONE)
    assert server.topics() == ["t"]


def test_an_index_that_was_never_opened_ends_the_link(bench: Bench, gateway: Peer) -> None:
    gateway.send("t", "server:a", session=9)
    bench.turn()
    assert gateway.errors == [ErrorNumber.UNKNOWN_SESSION_INDEX]


def test_a_gateway_itself_sends_nothing(bench: Bench, gateway: Peer) -> None:
    gateway.send("t", "server:a", session=0)
    bench.turn()
    assert gateway.errors == [ErrorNumber.UNKNOWN_SESSION_INDEX]


# Figures


def test_traffic_is_counted_by_lane_and_by_session(bench: Bench, server: Peer, player: Peer) -> None:
    server.send_batch(
        [server.event("abc", "player:1", Lane.LOW, b"12345"), server.event("x", "player:1", Lane.LOW)],
        Lane.LOW,
    )
    bench.turn()
    counters = bench.core.counters.lanes_in[Lane.LOW]
    assert (counters.batches, counters.events) == (1, 2)
    assert counters.bytes > 24
    traffic = bench.session("server:a").traffic
    assert [each.events_in for each in traffic] == [0, 0, 2]
    assert (traffic[Lane.LOW].bytes_in, traffic[Lane.LOW].batches_in) == (9, 1)


# What a session's own rules allow


def with_policy(policy: PolicyConfig) -> tuple[Bench, Peer, Peer]:
    """A bench with a policy, a server that handles every topic, and a player."""
    bench = Bench(small_config(policy=policy))
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    return bench, server, Peer(bench, "player:1").attach()


def test_a_player_sends_only_on_topics_that_a_rule_names() -> None:
    policy = PolicyConfig(client_may_send=["player.*", "chat.**"])
    bench, server, player = with_policy(policy)
    topics = ["player.move", "player.move.far", "chat.room.7", "admin.kick", "player.aim"]
    for topic in topics:
        player.send(topic, None)
    server.send("admin.kick", "player:1")
    bench.advance(0.3)
    assert server.topics() == ["player.move", "chat.room.7", "player.aim"]
    refused = (Outcome.REFUSED, Reason.NOT_ALLOWED)
    assert [player.end_of(number) for number in range(1, 6)] == [None, refused, None, refused, None]
    assert player.topics() == ["admin.kick"]
    assert bench.core.violations.counts("player:1") == {"not_allowed": 2}
    assert player.up
    # What rules refuse says nothing of how well the broker is.
    bench.advance(1.0)
    assert bench.core.registry.parts()[1] == 2
    assert bench.core._parts()[1] == 0
    assert bench.problems() == []


def test_a_topic_that_no_rule_names_does_not_wait_for_a_service_after_the_brokers_start() -> None:
    config = small_config(
        policy=PolicyConfig(client_may_send=["player.*"]),
        sessions=SessionsConfig(grace_s=10.0, recovery_s=8.0, ping_interval_s=1.0, lease_s=4.0),
    )
    bench = Bench(config)
    player = Peer(bench, "player:1").attach()
    first = player.send("player.move", None)
    second = player.send("admin.kick", None)
    bench.advance(0.3)
    assert player.end_of(first) is None
    assert player.end_of(second) == (Outcome.REFUSED, Reason.NOT_ALLOWED)
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    bench.advance(0.3)
    assert server.topics() == ["player.move"]


@pytest.mark.parametrize(
    "policy",
    [
        PolicyConfig(client=Policy(event_bytes=100)),
        PolicyConfig(peers=[PeerPolicy(match="player:*", event_bytes=100)]),
    ],
)
def test_an_event_past_its_senders_own_limit_is_refused(policy: PolicyConfig) -> None:
    bench, server, player = with_policy(policy)
    numbers = [player.send("t", None, payload=bytes(size)) for size in (100, 101, 100)]
    bench.advance(0.3)
    assert server.numbers() == [numbers[0], numbers[2]]
    assert player.end_of(numbers[1]) == (Outcome.REFUSED, Reason.TOO_LARGE)
    # A gateway's players are never told of limits of their own, and a welcome may be older than a limit.
    assert bench.core.violations.counts("player:1") == {}
    assert player.welcome is not None
    assert player.welcome.limits.event_bytes == 100
    assert server.welcome is not None
    assert server.welcome.limits.event_bytes == 1_024
    assert bench.problems() == []


# Consecutive events of one sender to the same receivers


def test_a_run_is_accepted_delivered_and_booked_as_its_events_are(
    bench: Bench, server: Peer, player: Peer
) -> None:
    events = [server.event("t", "player:1", payload=b"x" * number) for number in range(5)]
    server.send_batch(events)
    bench.turn()
    session = bench.session("server:a")
    sending, traffic = session.sending[Lane.CRITICAL], session.traffic[Lane.CRITICAL]
    assert (sending.book.accepted, sending.parts.accepted, sending.last) == (5, 5, 5)
    assert (traffic.events_in, traffic.bytes_in) == (5, 5 + 10)
    assert player.numbers() == [1, 2, 3, 4, 5]
    player.settle_all()
    bench.advance(0.5)
    assert sending.book.in_flight == 0
    assert bench.core.budget.held_bytes == 0
    assert bench.problems() == []


def test_a_run_ends_where_the_destination_the_session_or_the_terms_change(bench: Bench, server: Peer) -> None:
    players = [Peer(bench, f"player:{number}").attach() for number in (1, 2)]
    events = [
        server.event("t", "player:1"),
        server.event("u", "player:1"),
        server.event("t", "player:2"),
        server.event("t", "player:1", ttl=50_000),
        server.event("t", "all", exclude=["player:1"]),
        server.event("t", "all", exclude=["player:2"]),
        server.event("t", ["player:1", "player:9"]),
        server.event("t", "player:8"),
        server.event("t", "player:1"),
    ]
    server.send_batch(events)
    bench.advance(0.1)
    assert [each.numbers() for each in players] == [[1, 2, 4, 6, 7, 9], [3, 5]]
    for each in players:
        each.settle_all()
    bench.advance(0.5)
    refused = (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    assert [number for number in range(1, 10) if server.end_of(number) == refused] == [7, 8]
    assert bench.session("server:a").sending[Lane.CRITICAL].book.in_flight == 0
    assert bench.problems() == []


def test_what_came_before_is_told_apart_within_a_run(bench: Bench, server: Peer, player: Peer) -> None:
    server.send_batch([raw_event(number) for number in (1, 2, 4)])
    server.send_batch([raw_event(number) for number in (2, 3, 4, 5, 6)])
    bench.advance(0.1)
    assert sorted(player.numbers()) == [1, 2, 3, 4, 5, 6]
    assert bench.core.counters.duplicates == 2
    assert bench.session("server:a").sending[Lane.CRITICAL].book.accepted == 6
    assert bench.problems() == []


def test_one_illegal_event_behind_legal_ones_leaves_none_accepted(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send_batch([raw_event(1), raw_event(2), raw_event(MAX_SPREAD + 1)])
    bench.turn()
    assert server.errors == [ErrorNumber.BATCH_GAP]
    assert bench.session("server:a").sending[Lane.CRITICAL].book.accepted == 0


def test_a_run_that_is_larger_than_what_its_receiver_may_have_is_taken_in_parts(
    bench: Bench, server: Peer
) -> None:
    player = Peer(bench, "player:1").attach()
    numbers = [server.event("t", "player:1", payload=b"x" * 400) for _ in range(8)]
    server.send_batch(numbers)
    bench.advance(0.1)
    receiving = bench.receiving("player:1")
    assert 0 < len(receiving.waiting) < 8
    while receiving.waiting:
        player.settle_all()
        bench.advance(0.3)
    assert player.numbers() == list(range(1, 9))
    assert bench.problems() == []
