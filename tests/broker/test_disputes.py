"""Disputes: at rest a difference between two books is a difference, and while anything is under way it is none."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.audit import audit
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.pings import Ping
from lanebus.wire.reports import SessionReport, WaitingLane

NOTHING = [0, 0, 0, 0, 0, 0, 0]
ONE_MORE = [[0, 0, 0, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]


class Scene:
    """A player that has sent one event, which is settled, and says that there were two."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.server = Peer(bench, "server:a").attach()
        self.player = Peer(bench, "player:1").attach()
        self.player.send("t", "server:a", Lane.NORMAL)
        bench.advance(0.3)
        self.server.settle_all()
        bench.advance(0.3)

    def report(self, times: int, *, waiting: int = 0) -> None:
        """Say so once an interval; the first time with the books, since they do not change after that."""
        reports = [SessionReport(0, [], [WaitingLane(Lane.NORMAL, waiting, 9)])] if waiting else []
        for _ in range(times):
            self.player.say(Kind.PING, Ping(0, 0, [(0, ONE_MORE)], reports=reports))
            self.bench.advance(1.0)

    @property
    def problems(self) -> list[str]:
        return audit(self.bench.core).problems

    def make_peace(self) -> None:
        """The bench looks at the books in the end."""
        self.player.ping()
        self.bench.turn()


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(bench)


def test_a_living_peer_whose_book_differs_at_rest_fails_the_audit_which_names_lane_and_figures(
    scene: Scene,
) -> None:
    scene.report(2)
    assert scene.problems == [], "the last settlement may have crossed a report"
    scene.report(1)
    assert scene.problems == [
        "player:1 says on normal: 2 accepted, 2 delivered; the broker has: 1 accepted, 1 delivered"
    ]
    assert not audit(scene.bench.core).at_rest
    scene.make_peace()
    assert scene.problems == []


def test_books_that_are_not_said_again_differ_all_the_same(scene: Scene) -> None:
    scene.report(1)
    for _ in range(3):
        scene.player.say(Kind.PING, Ping(0, 0, []))
        scene.bench.advance(1.0)
    assert len(scene.problems) == 1
    scene.make_peace()


def test_while_something_changes_nothing_is_said(scene: Scene) -> None:
    for _ in range(4):
        scene.report(2)
        scene.player.send("t", "server:a", Lane.NORMAL)
        scene.bench.advance(0.3)
        scene.server.settle_all()
        scene.bench.advance(0.3)
        assert scene.problems == []
    scene.make_peace()


def test_what_waits_at_its_sender_is_under_way(scene: Scene) -> None:
    scene.report(6, waiting=1)
    assert scene.problems == []
    scene.make_peace()


def test_what_the_broker_holds_is_under_way(scene: Scene) -> None:
    scene.player.send("t", "server:a", Lane.NORMAL)
    scene.bench.advance(0.3)
    scene.report(5)
    assert scene.problems == []
    scene.server.settle_all()
    scene.bench.advance(0.3)
    scene.make_peace()


def test_what_a_limit_holds_is_under_way_also_of_a_peer_that_does_not_say_so() -> None:
    bench = Bench(small_config(policy=PolicyConfig(client=Policy(events_per_s=1.0, events_burst=16))))
    scene = Scene(bench)
    scene.player.send_batch(
        [scene.player.event("t", "server:a", Lane.NORMAL) for _ in range(40)], Lane.NORMAL
    )
    bench.advance(0.3)
    scene.server.settle_all()
    assert bench.session("player:1").sending[Lane.NORMAL].held_from
    scene.report(5)
    assert scene.problems == []


def test_who_is_away_is_not_asked(scene: Scene) -> None:
    scene.report(4)
    assert scene.problems
    scene.player.cut()
    scene.bench.advance(5.0)
    assert scene.bench.session("player:1").attachment.away_since is not None
    assert scene.problems == []


def test_who_never_says_anything_of_its_books_is_no_witness(scene: Scene) -> None:
    for _ in range(5):
        scene.player.say(Kind.PING, Ping(0, 0, []))
        scene.bench.advance(1.0)
    assert scene.problems == []
