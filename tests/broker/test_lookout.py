"""The lookout on real connections: who is hung up on, and who is left alone. The time is a number."""

import socket
from collections.abc import Iterator

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.connections import Connections
from lanebus.broker.hangups import HangUp
from lanebus.broker.lookout import LOOK_S, SOON_S, Lookout
from lanebus.broker.open_files import SPARE, OpenFiles
from lanebus.broker.unfinished import MARGIN_BYTES, MOST_FRAMES
from lanebus.wire.lanes import LANES, Lane

pytestmark = pytest.mark.system

FRAME_BYTES = 1000
ENOUGH = bytes(FRAME_BYTES + MARGIN_BYTES)
TOO_MUCH = ENOUGH + bytes(1000)
"""Heartbeats of half a minute included."""
ALL_READ: dict[Lane | None, bool] = {Lane.CRITICAL: True, Lane.NORMAL: True, Lane.LOW: True, None: True}
NONE_READ: dict[Lane | None, bool] = dict.fromkeys(ALL_READ, False)


class Scene:
    """A lookout, and connections of each socket."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.core = self.bench.core
        self.connections = {lane: Connections(lane) for lane in (*LANES, None)}
        self.lookout = Lookout(
            self.core, self.connections.values(), dict.fromkeys(self.connections, FRAME_BYTES)
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._ours: dict[socket.socket, socket.socket] = {}

    def dial(self, lane: Lane | None = Lane.CRITICAL) -> socket.socket:
        """The far end of a new connection."""
        far = socket.create_connection(self._listener.getsockname(), timeout=10.0)
        near, _ = self._listener.accept()
        self._sockets += [far, near]
        self._ours[far] = near
        self.connections[lane].accepted(near.fileno(), 0.0)
        return far

    def attach(self, name: str, far: socket.socket, lane: Lane = Lane.CRITICAL) -> Peer:
        """A peer one of whose links came by a connection."""
        peer = Peer(self.bench, name).attach()
        route = peer.routes[lane]
        assert route is not None
        assert self.connections[lane].said_hello(self._ours[far].fileno(), route) == []
        return peer

    def arrives(self, far: socket.socket, data: bytes, *, is_taken: bool = True) -> None:
        """Something comes by a connection, and is taken from the kernel, as libzmq does."""
        near = self._ours[far]
        near.settimeout(10.0)
        left = len(data)
        sent = 0
        while left:
            sent += far.send(data[sent : sent + 65_536]) if sent < len(data) else 0
            if is_taken or left > 65_536:
                left -= len(near.recv(65_536))
            elif sent == len(data):
                return

    def look(self, now: float = 1.0, is_read: dict[Lane | None, bool] = ALL_READ) -> float:
        return self.lookout.look(now, is_read)

    @property
    def hung_up(self) -> dict[str, int]:
        return {why.value: count for why, count in self.core.hang_ups.totals.items() if count}

    def has_ended(self, far: socket.socket) -> bool:
        far.settimeout(0.01)
        try:
            return far.recv(1) == b""
        except TimeoutError:
            return False

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


@pytest.mark.parametrize("lane", [*LANES, None])
def test_more_than_a_message_of_which_nothing_can_be_read_is_hung_up_on_once(
    scene: Scene, lane: Lane | None
) -> None:
    far, other = scene.dial(lane), scene.dial(lane)
    scene.arrives(far, TOO_MUCH)
    scene.arrives(other, ENOUGH)
    assert scene.look() == SOON_S
    assert scene.hung_up == {}
    scene.look(1.1)
    scene.look(1.2)
    scene.look(1.3)
    assert scene.hung_up == {"unfinished": 1}
    assert scene.has_ended(far)
    assert not scene.has_ended(other)


def test_one_by_which_much_comes_is_looked_at_soon_without_a_round_of_all(scene: Scene) -> None:
    far = scene.dial()
    scene.attach("server:a", far)
    assert scene.look(1.0) == pytest.approx(LOOK_S)
    scene.arrives(far, ENOUGH)
    assert scene.look(1.1) == SOON_S
    scene.arrives(far, TOO_MUCH)
    assert scene.look(1.11) == SOON_S
    scene.look(1.12)
    assert scene.hung_up == {"unfinished": 1}
    other = scene.dial()
    scene.arrives(other, TOO_MUCH)
    scene.look(1.13)
    scene.look(1.14)
    assert scene.hung_up == {"unfinished": 1}


def test_nobody_is_hung_up_on_before_all_that_came_was_read(scene: Scene) -> None:
    far = scene.dial(Lane.LOW)
    scene.arrives(far, TOO_MUCH)
    for _ in range(3):
        assert scene.look(is_read=NONE_READ) == SOON_S
    assert scene.hung_up == {}
    scene.look()
    assert scene.hung_up == {"unfinished": 1}


def test_what_the_kernel_still_has_is_not_held(scene: Scene) -> None:
    far = scene.dial()
    scene.arrives(far, TOO_MUCH, is_taken=False)
    scene.look(1.0)
    scene.look(1.1)
    assert scene.hung_up == {}


def test_whose_messages_are_read_may_send_as_much_as_it_likes(scene: Scene) -> None:
    far, at_control = scene.dial(), scene.dial(None)
    peer = scene.attach("server:a", far)
    for _ in range(3):
        scene.arrives(far, TOO_MUCH)
        scene.arrives(at_control, TOO_MUCH)
        scene.bench.advance(0.1)
        peer.ping()
        scene.connections[None].spoke(scene._ours[at_control].fileno())
        scene.look()
        scene.look()
    assert scene.hung_up == {}


def test_many_who_each_keep_within_the_limit_may_not_hold_too_much_together(scene: Scene) -> None:
    held = FRAME_BYTES + MARGIN_BYTES // 2
    fit = MOST_FRAMES * (FRAME_BYTES + MARGIN_BYTES) // held
    fars = [scene.dial(lane) for _ in range(fit) for lane in (Lane.LOW, Lane.CRITICAL)]
    for far in fars[:fit]:
        scene.arrives(far, bytes(held))
    for number in range(6):
        scene.look(1.0 + number / 10)
    assert scene.hung_up == {}
    for far in fars[fit:]:
        scene.arrives(far, bytes(held + 100))
    for number in range(6):
        scene.look(2.0 + number / 10)
    assert scene.hung_up == {"unfinished": fit}
    assert [far for far in fars if scene.has_ended(far)] == fars[fit:]


@pytest.mark.parametrize("lane", LANES)
def test_an_attached_peer_that_does_so_loses_its_links_and_has_broken_a_rule(
    scene: Scene, lane: Lane
) -> None:
    far = scene.dial(lane)
    peer = scene.attach("player:1", far, lane)
    scene.look(0.5)
    scene.arrives(far, TOO_MUCH)
    # What it does on other lanes does not help it.
    for other in LANES:
        if other is not lane and (lane is not Lane.CRITICAL):
            peer.ping()
    scene.look(1.0)
    scene.look(1.1)
    assert scene.hung_up == {"unfinished": 1}
    assert scene.bench.attachment("player:1").away_since is not None
    assert scene.core.violations.counts("player:1") == {"flood": 1}


def test_of_two_who_may_be_meant_nobody_has_broken_a_rule(scene: Scene) -> None:
    far = scene.dial()
    scene.attach("player:1", far)
    other = Peer(scene.bench, "player:2").attach()
    route = other.routes[Lane.CRITICAL]
    assert route is not None
    scene.connections[Lane.CRITICAL].said_hello(scene._ours[far].fileno(), route)
    scene.look(0.5)
    scene.arrives(far, TOO_MUCH)
    scene.look(1.0)
    scene.look(1.1)
    assert scene.hung_up == {"unfinished": 1}
    assert scene.core.violations.totals == {}


def test_who_says_no_hello_in_time_is_hung_up_on_but_on_the_control_endpoint(scene: Scene) -> None:
    patience_s = scene.core.config.sessions.hello_timeout_s
    stranger, peer, person = scene.dial(), scene.dial(), scene.dial(None)
    scene.attach("server:a", peer)
    scene.look(patience_s)
    scene.look(patience_s + 1.0, NONE_READ)
    assert scene.hung_up == {}
    scene.look(patience_s + 1.1)
    assert scene.hung_up == {HangUp.NO_HELLO: 1}
    assert scene.has_ended(stranger)
    assert not scene.has_ended(peer)
    assert not scene.has_ended(person)


def crowd(scene: Scene, *, missing: int) -> None:
    """There are so few open files that some have to go."""
    connections = sum(map(len, scene.connections.values()))
    limit = 1000 + connections + 2 * SPARE - missing
    scene.core.bus.open_files = OpenFiles(limit, 1000)


def test_where_there_are_too_few_open_files_strangers_go_the_earliest_first(scene: Scene) -> None:
    peer = scene.dial()
    scene.attach("server:a", peer)
    strangers = [scene.dial(lane) for lane in (None, Lane.LOW, Lane.CRITICAL, Lane.NORMAL) for _ in range(11)]
    for connection in scene.connections.values():
        for each in connection:
            each.accepted_at = 50.0 - each.descriptor
    crowd(scene, missing=SPARE + 1)
    assert scene.look(60.0) == SOON_S
    assert scene.hung_up == {"no_room": 33}
    gone = [far for far in strangers if scene.has_ended(far)]
    # Of the control endpoint only if there are no others.
    assert gone == strangers[11:]
    assert not scene.has_ended(peer)
    assert scene.core.bus.open_files is not None
    assert scene.core.bus.open_files.are_short(60.0)
    assert scene.look(60.1) == pytest.approx(LOOK_S)
    assert scene.hung_up == {"no_room": 33}


def test_then_those_go_whose_links_have_ended_and_never_one_that_a_link_or_a_stalled_process_needs(
    scene: Scene,
) -> None:
    here, gone, stalled = scene.dial(), scene.dial(), scene.dial()
    peers = [scene.attach(f"player:{number}", far) for number, far in enumerate((here, gone, stalled))]
    core = scene.core
    for number, is_stalled in ((1, False), (2, True)):
        link = scene.bench.attachment(f"player:{number}").links[Lane.CRITICAL]
        assert link is not None
        if is_stalled:
            core.stalls.begin(scene.bench.attachment(f"player:{number}"), link)
        core.links.drop(link, 1.0, "it is dropped")
    crowd(scene, missing=2 * SPARE)
    scene.look(2.0)
    assert scene.hung_up == {"no_room": 1}
    assert [scene.has_ended(far) for far in (here, gone, stalled)] == [False, True, False]
    assert peers


def test_a_descriptor_that_is_another_connections_by_now_is_left_alone(scene: Scene) -> None:
    far = scene.dial()
    scene.look()
    (known,) = scene.connections[Lane.CRITICAL]
    known.far_end = ("127.0.0.1", 1)
    scene.arrives(far, TOO_MUCH)
    scene.look(1.1)
    scene.look(100.0)
    scene.look(100.1)
    assert scene.hung_up == {}


def test_what_is_no_connection_any_more_is_passed_over(scene: Scene) -> None:
    far = scene.dial()
    scene.arrives(far, TOO_MUCH)
    scene.look()
    scene._ours[far].close()
    scene.look(1.1)
    scene.look(100.0)
    assert scene.hung_up == {}
    known = scene.connections[Lane.CRITICAL]
    descriptors = [each.descriptor for each in known]
    assert [known.ended(each) for each in descriptors] == [[]]
