"""After the broker's start, what peers name may not have come back yet: it waits, in order, and then is refused."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import SessionsConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Served
from lanebus.wire.outcomes import Outcome, Reason

RECOVERY_S = 8.0
DELIVERED = (Outcome.DELIVERED, Reason.NONE)


@pytest.fixture
def started() -> Bench:
    """A broker that has just started."""
    sessions = SessionsConfig(grace_s=10.0, recovery_s=RECOVERY_S, ping_interval_s=1.0, lease_s=4.0)
    return Bench(small_config(sessions=sessions))


def let_pass(bench: Bench, seconds: int, *awake: Peer) -> None:
    """Let time pass in which some peers show that they live."""
    for _ in range(seconds):
        for peer in awake:
            peer.ping()
        bench.advance(1.0)


def test_a_part_for_a_player_that_is_not_back_waits_for_it_in_order(started: Bench) -> None:
    server = Peer(started, "server:a").attach()
    server.send("t", "player:1")
    server.send("t", "player:1")
    let_pass(started, 3, server)
    assert server.end_of(1) is None
    player = Peer(started, "player:1").attach()
    server.send("t", "player:1")
    started.advance(0.1)
    assert player.numbers() == [1, 2, 3]
    assert not any(got.flags for got in player.got)
    player.settle_all()
    started.advance(0.5)
    assert [server.end_of(number) for number in (1, 2, 3)] == [DELIVERED] * 3
    assert started.problems() == []


def test_a_player_that_comes_back_behind_a_gateway_is_the_one_expected(started: Bench) -> None:
    server = Peer(started, "server:a").attach()
    server.send("t", "player:1")
    gateway = Peer(started, "gateway:g").attach()
    gateway.open(1, "player:1")
    started.advance(0.1)
    assert gateway.numbers(session=1) == [1]
    assert set(started.core.registry.attachments) == {"server:a", "gateway:g"}


def test_who_does_not_come_back_is_unknown_when_the_time_is_over(started: Bench) -> None:
    server = Peer(started, "server:a").attach()
    server.send("t", "player:1")
    let_pass(started, int(RECOVERY_S) + 1, server)
    assert server.end_of(1) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    server.send("t", "player:1")
    started.advance(0.5)
    assert server.end_of(2) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    assert set(started.core.registry.attachments) == {"server:a"}
    assert started.problems() == []


def test_a_member_that_is_named_before_it_is_back_gets_what_its_group_gets(started: Bench) -> None:
    server = Peer(started, "server:a").attach()
    present = Peer(started, "player:1").attach()
    for member in ("player:1", "player:2"):
        assert server.ask(Kind.JOIN, group="room", member=member).error == 0
    server.send("t", "group:room")
    started.advance(0.1)
    assert present.numbers() == [1]
    absent = Peer(started, "player:2").attach()
    started.advance(0.1)
    assert absent.numbers() == [1]
    assert started.session("player:2").groups == {"room"}


def test_undirected_events_wait_for_an_instance_of_their_service_in_order(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("attack", None)
    player.send("attack", None)
    let_pass(started, 2, player)
    assert player.end_of(1) is None
    assert started.problems() == []
    server = Peer(started, "server:a").attach()
    player.send("attack", None)
    started.advance(0.1)
    assert server.numbers() == []
    server.ask(Kind.REGISTER, service="combat", topics=["attack"])
    started.advance(0.1)
    assert server.numbers() == [1, 2, 3]
    assert started.problems() == []


def test_what_no_service_takes_is_refused_when_the_time_is_over(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("attack", None)
    player.send("attack", "service:combat")
    let_pass(started, int(RECOVERY_S) + 1, player)
    assert player.end_of(1) == (Outcome.REFUSED, Reason.NO_SERVICE)
    assert player.end_of(2) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    assert started.problems() == []


def test_a_player_is_told_which_instance_serves_it_and_tells_the_next_broker(started: Bench) -> None:
    first, second = Peer(started, "server:a").attach(), Peer(started, "server:b").attach()
    for server in (first, second):
        server.ask(Kind.REGISTER, service="combat", topics=["attack"])
    player = Peer(started, "player:1").attach()
    player.send("attack", None)
    started.advance(0.1)
    served = player.last(Kind.SERVED)
    (chosen,) = [server for server in (first, second) if server.got]
    assert served == Served(entries=[(0, "combat", [(chosen.name, [1, 1, 1], False)])])

    again = Bench(started.core.config)
    other = Peer(again, "server:b" if chosen is first else "server:a").attach()
    other.ask(Kind.REGISTER, service="combat", topics=["attack"])
    back = Peer(again, "player:1")
    back.say_hello(served_by=[("combat", [(chosen.name, [1, 1, 1], False)])])
    again.turn()
    for lane in (Lane.NORMAL, Lane.LOW):
        back.say_lane_hello(lane)
    again.turn()
    back.send("attack", None)
    let_pass(again, 2, back, other)
    # Another instance is there already, but this player's events belong to the one that may have handled them.
    assert other.got == []
    assert back.end_of(1) is None
    restarted = Peer(again, chosen.name).attach()
    again.advance(0.1)
    assert restarted.numbers() == [1]


def test_a_sender_that_leaves_takes_its_waiting_events_along(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("attack", None)
    started.advance(0.1)
    player.bye()
    started.advance(0.1)
    assert started.problems() == []
    assert started.core.recovery._senders == {}


def test_without_a_recovery_time_unknown_destinations_are_refused_at_once(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.send("t", "player:2")
    player.send("attack", None)
    bench.advance(0.5)
    assert server.end_of(1) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    assert player.end_of(1) == (Outcome.REFUSED, Reason.NO_SERVICE)


def test_a_client_cannot_make_the_broker_expect_anybody(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("t", "player:2")
    player.send("t", "server:invented")
    started.advance(0.5)
    assert player.end_of(1) == (Outcome.REFUSED, Reason.NOT_ALLOWED)
    assert player.end_of(2) is None
    assert set(started.core.registry.attachments) == {"player:1"}
    let_pass(started, int(RECOVERY_S) + 1, player)
    assert player.end_of(2) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)


def test_what_a_client_sends_to_a_server_by_name_waits_for_it(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("t", "server:a")
    started.advance(0.5)
    server = Peer(started, "server:a").attach()
    started.advance(0.1)
    assert server.numbers() == [1]


def test_what_follows_an_event_that_waits_for_a_service_does_not_overtake_it(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    server = Peer(started, "server:a").attach()
    player.send("attack", "service:combat")
    player.send("attack", "server:a")
    started.advance(0.1)
    assert server.numbers() == []
    server.ask(Kind.REGISTER, service="combat", topics=["attack"])
    started.advance(0.1)
    assert server.numbers() == [1, 2]


def test_a_list_waits_as_a_whole_for_the_service_in_it(started: Bench) -> None:
    sender = Peer(started, "server:a").attach()
    player = Peer(started, "player:1").attach()
    sender.send("t", ["player:1", "service:combat"])
    started.advance(0.1)
    assert player.numbers() == []
    service = Peer(started, "server:b").attach()
    service.ask(Kind.REGISTER, service="combat", topics=["attack"])
    started.advance(0.1)
    assert (player.numbers(), service.numbers()) == ([1], [1])


def test_an_unknown_group_is_not_waited_for(started: Bench) -> None:
    sender = Peer(started, "server:a").attach()
    sender.send("t", "group:room")
    started.advance(0.5)
    assert sender.end_of(1) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)


def test_what_a_player_says_to_a_room_waits_until_it_is_a_member_again() -> None:
    sessions = SessionsConfig(grace_s=10.0, recovery_s=RECOVERY_S, ping_interval_s=1.0, lease_s=4.0)
    policy = PolicyConfig(client_may_address=["member:room:*"])
    started = Bench(small_config(sessions=sessions, policy=policy))
    player = Peer(started, "player:1").attach()
    stranger = Peer(started, "player:2").attach()
    player.send("chat", "group:room:7")
    stranger.send("chat", "group:room:7")
    started.advance(0.1)
    assert player.end_of(1) is None
    server = Peer(started, "server:a").attach()
    server.ask(Kind.JOIN, group="room:7", member="player:1")
    started.advance(0.1)
    assert player.numbers() == [1]
    player.settle_all()
    let_pass(started, 9, player, stranger, server)
    assert player.end_of(1) == DELIVERED
    assert stranger.end_of(1) == (Outcome.REFUSED, Reason.NOT_ALLOWED)
    assert started.core.violations.counts("player:2") == {}
    assert started.problems() == []


GONE = (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)


@pytest.mark.parametrize("to", ["player:1", ["player:1"], "server:b"])
def test_who_has_been_here_and_said_goodbye_is_not_waited_for(started: Bench, to: str | list[str]) -> None:
    server, player = Peer(started, "server:a").attach(), Peer(started, "player:2").attach()
    for name in ("player:1", "server:b"):
        Peer(started, name).attach().bye()
    server.send("t", to)
    if to == "server:b":
        player.send("t", to)
    started.advance(0.5)
    assert server.end_of(1) == GONE
    assert player.end_of(1) in (None, GONE)
    assert not player.waits
    assert started.problems() == []


def test_a_player_that_its_gateway_has_closed_is_not_waited_for_until_it_is_there_again(
    started: Bench,
) -> None:
    server, gateway = Peer(started, "server:a").attach(), Peer(started, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.close(1)
    server.send("t", "player:1")
    started.advance(0.5)
    assert server.end_of(1) == GONE
    player = Peer(started, "player:1").attach()
    server.send("t", "player:1")
    started.advance(0.1)
    assert player.numbers() == [2]


def test_what_waited_for_a_server_ends_when_that_comes_and_says_goodbye(started: Bench) -> None:
    player = Peer(started, "player:1").attach()
    player.send("t", "server:a")
    started.advance(0.5)
    assert player.end_of(1) is None
    other = Peer(started, "server:b").attach()
    other.send("t", "server:a")
    started.advance(0.5)
    assert other.end_of(1) is None
    Peer(started, "server:a").attach().bye()
    started.advance(0.5)
    assert player.end_of(1) is not None
    assert other.end_of(1) is not None
    assert started.problems() == []


def test_a_sender_is_served_by_another_when_its_instance_has_said_goodbye(started: Bench) -> None:
    player = Peer(started, "player:1")
    player.say_hello(served_by=[("combat", [("server:a", [1, 1, 1], False)])])
    started.turn()
    for lane in (Lane.NORMAL, Lane.LOW):
        player.say_lane_hello(lane)
    started.turn()
    first, second = Peer(started, "server:a").attach(), Peer(started, "server:b").attach()
    for instance in (first, second):
        instance.ask(Kind.REGISTER, service="combat", topics=["attack"])
    first.bye()
    player.send("attack", None)
    started.advance(0.1)
    assert second.numbers() == [1]


def test_who_has_left_is_forgotten_when_the_time_is_over(started: Bench) -> None:
    Peer(started, "player:1").attach().bye()
    directory = started.core.directory
    assert list(directory.left) == ["player:1"]
    started.advance(RECOVERY_S)
    assert not directory.left
    Peer(started, "player:2").attach().bye()
    assert not directory.left
