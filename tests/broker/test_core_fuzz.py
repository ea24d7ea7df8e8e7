"""The core and frames that nobody should send: nothing is raised, and nobody else is disturbed."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.samples import BODIES, say

from lanebus.wire.header import HEADER_BYTES, encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane


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
