"""Who follows the protocol is never punished, whatever happens to it: no violation, no cool-down, no rule broken.

The worlds of `test_random.py` look for it too, after every step.
"""

from random import Random

import pytest
from tests.link.link import Net
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.event import Event
from lanebus.adapters.session import SessionCore
from lanebus.broker.trial import FIRST_ROUND, MAX_FAILURES
from lanebus.conf.model import Config, EgressConfig, GroupsConfig, LimitsConfig, SessionsConfig, WindowConfig
from lanebus.conf.policy import PLAYERS, Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

SESSIONS = SessionsConfig(grace_s=30.0, recovery_s=0.0)
FAST = Policy(control_messages_per_s=50.0, control_bytes_per_s=65_536.0)
"""A player that may be sent anything, and may say no more than others."""


def assert_blameless(net: Net) -> None:
    violations = net.core.violations
    assert violations.totals == {}
    assert violations.cooling(net.now) == {}


def control_messages(net: Net, peer: Peer) -> list[float]:
    """When `peer` has sent a message that is no batch."""
    sent: list[float] = []
    net.watch = lambda who, frame: sent.append(net.now) if who is peer and frame[3] != Kind.BATCH else None
    return sent


def most_in_a_second(times: list[float]) -> int:
    return max(sum(1 for each in times if since <= each < since + 1.0) for since in times)


@pytest.mark.parametrize("lane", LANES)
def test_a_restarted_player_gets_thousands_of_events_again_in_seconds_and_breaks_no_rule(lane: Lane) -> None:
    net = Net(Config(sessions=SESSIONS))
    server = Peer(net, "server").up()
    player = Peer(net, "1", Role.CLIENT).up()
    player.events_per_turn = 0
    for number in range(2000):
        server.send("player:1", number, lane=lane)
    net.run(2.0)
    assert len(player.core.incoming.arrivals[lane]) == 2000
    player.kill()
    net.run(3.0)
    successor = Peer(net, "1", Role.CLIENT)
    said = control_messages(net, successor)
    successor.start()
    began = net.now
    settle(server, within_s=5.0)
    assert net.now - began < 5.0
    assert list(payloads(successor)) == list(range(2000))
    assert all(each.redelivered for each in successor.handled["player:1"])
    assert most_in_a_second(said) < PLAYERS.control_messages_per_s * 0.6
    assert server.told == []
    assert_blameless(net)


class Crash(BaseException):
    """The end of a process in the middle of a handler."""


@pytest.mark.parametrize("seed", range(4))
def test_processes_that_end_again_and_again_are_not_punished_and_only_the_deadly_event_is_poison(
    seed: int,
) -> None:
    # To take a name often is no offence here: nobody sees that these processes have died.
    policy = PolicyConfig(cool_down_s=0.0)
    net = Net(Config(sessions=SESSIONS, policy=policy))
    random = Random(seed)
    server = Peer(net, "server").up()
    player = Peer(net, "1", Role.CLIENT).up()
    player.events_per_turn = 0
    deadly = random.randrange(600)
    for number in range(600):
        server.send("player:1", number, lane=random.choice(LANES))
    net.run(2.0)
    player.kill()
    handled: set[int] = set()

    def program(session: SessionCore, event: Event) -> None:
        if event.payload == deadly:
            raise Crash
        handled.add(event.payload)

    ends = 1
    while server.session().outbox.in_flight:
        net.run(0.5)
        player = Peer(net, "1", Role.CLIENT)
        player.program = program
        player.start()
        try:
            settle(server)
        except Crash:
            player.kill()
            ends += 1
    # From rounds of all three lanes down to one part alone.
    assert ends <= 5 + MAX_FAILURES
    assert handled == set(range(600)) - {deadly}
    assert [(each.outcome, each.reason) for _, each in server.told] == [(Outcome.REFUSED, Reason.POISON)]
    assert_blameless(net)


def test_fresh_events_wait_while_it_is_found_out_which_part_ends_processes() -> None:
    net = Net(Config(sessions=SESSIONS, policy=PolicyConfig(cool_down_s=0.0)))
    server = Peer(net, "server").up()
    player = Peer(net, "1", Role.CLIENT).up()
    player.events_per_turn = 0
    for number in range(FIRST_ROUND // 2):
        server.send("player:1", number)
    for _ in range(2):
        net.run(1.0)
        player.kill()
        net.run(0.5)
        player = Peer(net, "1", Role.CLIENT)
        player.events_per_turn = 0
        player.start()
    server.send("player:1", "fresh", lane=Lane.CRITICAL)
    net.run(1.0)
    assert net.core.directory.peers["player:1"].receiving[Lane.CRITICAL].waiting
    player.events_per_turn = None
    settle(server)
    assert sorted(map(str, payloads(player))) == sorted(["fresh", *map(str, range(FIRST_ROUND // 2))])
    assert net.core.directory.peers["player:1"].trial is None


def test_who_is_sent_very_much_may_answer_as_much() -> None:
    net = Net(
        Config(
            policy=PolicyConfig(client=FAST),
            window=WindowConfig(batches=4),
            egress=EgressConfig(batch_bytes=1024, credit_bytes=4096),
        )
    )
    server = Peer(net, "server", outbox_bytes=1 << 24).up()
    player = Peer(net, "1", Role.CLIENT).up()
    said = control_messages(net, player)
    for number in range(6000):
        server.send("player:1", (number, "x" * 400))
    settle(server)
    assert most_in_a_second(said) > 10 * FAST.control_messages_per_s
    assert_blameless(net)


def test_a_player_that_changes_its_groups_as_fast_as_it_can_is_only_slowed_down() -> None:
    net = Net(Config(groups=GroupsConfig(client_may_join=["*"])))
    player = Peer(net, "1", Role.CLIENT).up()
    said = control_messages(net, player)
    for number in range(1000):
        player.join(f"room:{number % 100}")
        player.leave(f"room:{number % 100}")
    net.run_until(lambda: not len(player.core.requests), 120.0, "all are answered")
    assert len(said) >= 2000
    assert player.failed == []
    assert_blameless(net)


def test_many_groups_asked_for_anew_by_one_process_after_another_break_no_rule() -> None:
    groups = 250
    net = Net(
        Config(
            sessions=SESSIONS,
            groups=GroupsConfig(client_may_join=["*"]),
            limits=LimitsConfig(groups_per_session=groups),
            policy=PolicyConfig(cool_down_s=0.0),
        )
    )
    for _ in range(6):
        player = Peer(net, "1", Role.CLIENT)
        for number in range(groups):
            player.join(f"room:{number}")
        player.start()
        net.run(2.0)
        player.kill()
    player.cut()
    assert_blameless(net)


def test_a_player_whose_links_are_cut_every_second_breaks_no_rule() -> None:
    net = Net(Config(sessions=SESSIONS))
    server = Peer(net, "server").up()
    player = Peer(net, "1", Role.CLIENT).up()
    for second in range(60):
        for number in range(20):
            server.send("player:1", (second, number), lane=LANES[number % 3])
            player.send("server:server", (second, number), lane=LANES[number % 3])
        net.run(1.0)
        player.cut()
    settle(server, player)
    assert_blameless(net)
