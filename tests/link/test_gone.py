"""Who is gone for good is forgotten by all: a server that has seen thousands of players is as on its first day."""

from itertools import count
from math import ceil

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters import inbox
from lanebus.adapters.actions import State
from lanebus.adapters.incoming import MOST_IN_A_REPORT
from lanebus.adapters.memberships import Memberships
from lanebus.broker.farewells import UNCLAIMED_S
from lanebus.conf.model import Config, LimitsConfig, SessionsConfig, WindowConfig
from lanebus.wire.header import decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role

CONFIG = Config(
    sessions=SessionsConfig(grace_s=10.0, recovery_s=5.0, ping_interval_s=0.5, lease_s=2.0),
    limits=LimitsConfig(groups_per_session=16),
)


class Town:
    """A server that keeps groups and bindings, and a gateway behind which players come and go."""

    def __init__(self) -> None:
        self.net = Net(CONFIG)
        self.net.loss = 0.0
        self.server = Peer(self.net, "town").up()
        self.server.register("town", ["t"])
        self.memberships = Memberships(self.server.core, self.server.wake)
        self.server.core.on_gone = self.memberships.gone
        self.gateway = Peer(self.net, "g", Role.GATEWAY).up()
        self._numbers = count(1)

    def visit(self, players: int) -> None:
        """So many players come, are put into a group, are heard on all lanes, and leave."""
        names = [f"p{next(self._numbers)}" for _ in range(players)]
        opened = [self.gateway.open(name) for name in names]
        self.idle(self.gateway)
        for name in names:
            self.memberships.join("square", f"player:{name}")
        self.idle(self.server)
        for index in opened:
            for lane in LANES:
                self.gateway.send("server:town", index, lane=lane, session=index)
        self.server.send("group:square", "welcome")
        settle(self.server, self.gateway)
        for index in opened:
            self.gateway.close_session(index)
        self.idle(self.gateway)
        self.net.run(3.0)

    def idle(self, peer: Peer) -> None:
        self.net.run_until(lambda: not len(peer.core.requests), 10.0, "requests are answered")

    @property
    def kept(self) -> dict[str, int]:
        """What is kept for players, by server and broker."""
        core = self.server.core
        directory = self.net.core.directory
        return {
            "memberships": len(self.memberships),
            "assertions": len(core.requests.assertions),
            "senders": core.sessions[0].inbox.senders,
            "concerned": len(directory.concerned),
            "bindings": len(directory.bindings),
            "groups": len(directory.groups),
        }


NOTHING = {"memberships": 0, "assertions": 1, "senders": 0, "concerned": 0, "bindings": 0, "groups": 0}
"""Only the service is asked for again."""


@pytest.fixture
def town() -> Town:
    return Town()


def test_players_who_have_left_leave_nothing_at_their_server_and_broker(town: Town) -> None:
    for _ in range(10):
        town.visit(300)
        assert town.kept == NOTHING
    asked: list[Kind] = []
    town.net.watch = lambda peer, frame: (
        asked.append(decode_header(frame, max_raw_bytes=1 << 30).kind) if peer is town.server else None
    )
    town.net.restart_broker()
    town.net.run_until(lambda: town.server.core.state is State.UP, 5.0, "the server is back")
    town.net.run(1.0)
    assert Kind.JOIN not in asked


def test_who_comes_back_before_its_server_hears_that_it_had_left_stays_in_its_groups(town: Town) -> None:
    town.net.slower_s[Lane.CRITICAL] = 0.05
    first = town.gateway.open("1")
    town.idle(town.gateway)
    town.memberships.join("square", "player:1")
    town.idle(town.server)
    town.gateway.close_session(first)
    second = town.gateway.open("1")
    # The join overtakes the news on the other link; it is answered after that.
    town.net.run(0.056)
    town.memberships.join("square", "player:1")
    town.idle(town.server)
    town.idle(town.gateway)
    town.net.run(2.0)
    assert len(town.memberships) == 1
    town.net.restart_broker()
    town.net.run_until(lambda: town.server.core.state is State.UP, 5.0, "the server is back")
    town.server.send("group:square", "hello")
    settle(town.server)
    assert list(payloads(town.gateway, "player:1")) == ["hello"]
    town.gateway.close_session(second)
    town.net.run(1.0)
    assert len(town.memberships) == 0


def test_news_that_was_lost_with_its_link_is_told_again(town: Town) -> None:
    index = town.gateway.open("1")
    town.idle(town.gateway)
    town.memberships.join("square", "player:1")
    town.idle(town.server)
    town.server.cut(peer_after_s=0.5, broker_after_s=0.5)
    town.gateway.close_session(index)
    town.net.run(0.2)
    assert len(town.memberships) == 1
    town.net.run_until(lambda: not len(town.memberships), 5.0, "it is told again")


def test_members_that_do_not_come_back_after_a_brokers_start_are_forgotten(town: Town) -> None:
    players = [Peer(town.net, str(number), Role.CLIENT).up() for number in range(5)]
    for player in players:
        town.memberships.join("square", player.name)
    town.idle(town.server)
    for player in players[1:]:
        player.kill()
    town.net.restart_broker()
    town.net.run_until(lambda: len(town.memberships) == 1, 10.0, "only the one that is there is kept")


def test_a_binding_of_a_player_that_never_comes_expires(town: Town) -> None:
    for number in range(20):
        town.server.assign(f"player:{number}", "town", "server:town")
    town.idle(town.server)
    directory = town.net.core.directory
    player = Peer(town.net, "3", Role.CLIENT).up()
    assert len(directory.bindings) == 20
    town.net.run(UNCLAIMED_S + 5.0)
    assert list(directory.bindings) == [player.name]
    assert not directory.unclaimed
    player.close()
    town.net.run(1.0)
    assert not directory.bindings


def test_a_sender_whose_session_ended_without_a_goodbye_is_recognised_when_it_replays(town: Town) -> None:
    player = Peer(town.net, "1", Role.CLIENT).up()
    player.send("server:town", "once")
    town.net.run_until(lambda: bool(town.server.handled["server:town"]), 1.0, "it is handled")
    # What the server says of it is lost to the player, which is cut off until its session is over.
    player.reaches = Reaches.NOTHING
    player.cut(peer_after_s=None)
    town.net.run_until(lambda: "player:1" not in town.net.core.directory.peers, 30.0, "its session is over")
    town.net.run(3.0)
    assert town.kept["senders"] == 1
    player.reaches = Reaches.BROKER
    settle(player)
    assert list(payloads(town.server)) == ["once"]


@pytest.mark.patches
def test_a_session_remembers_a_bounded_number_of_senders(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_SENDERS", 50)
    steady = Peer(town.net, "steady").up()
    for number in range(200):
        player = Peer(town.net, str(number), Role.CLIENT).up()
        player.send("server:town", number)
        steady.send("server:town", number)
        settle(player, steady)
        player.kill()
    assert town.server.core.sessions[0].inbox.senders <= 50
    assert len(list(payloads(town.server))) == 400


def test_a_report_of_any_size_is_accepted_by_the_broker() -> None:
    net = Net(Config(sessions=SessionsConfig(grace_s=60.0, recovery_s=0.0), window=WindowConfig(batches=64)))
    net.loss = 0.0
    server = Peer(net, "server").up()
    gateways = [Peer(net, f"g{number}", Role.GATEWAY).up() for number in range(4)]
    senders = 1000
    for gateway in gateways:
        for number in range(senders):
            gateway.open(f"{gateway.name.partition(':')[2]}-{number}")
    net.run_until(lambda: not any(len(each.core.requests) for each in gateways), 20.0, "all are open")
    for gateway in gateways:
        for index in gateway.core.sessions:
            for lane in LANES:
                gateway.send("server:server", index, lane=lane, session=index)
    settle(*gateways)
    sizes: list[int] = []
    core = server.core
    net.watch = lambda peer, frame: (
        sizes.append(len(frame))
        if peer is server and decode_header(frame, max_raw_bytes=1 << 30).kind is Kind.SETTLE
        else None
    )
    server.cut()
    net.run(5.0)
    assert core.state is State.UP
    assert core.connects == 2
    assert net.core.counters.errors == {}
    # A settlement for each sender and lane, of a run of one number.
    assert len(sizes) == ceil(3 * senders * len(gateways) / ceil(MOST_IN_A_REPORT / 6))
    assert max(sizes) < net.config.limits.frame_bytes // 8
