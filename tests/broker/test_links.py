"""Connections by their routes: the first frame of each, and the end of an attachment's links together."""

import logging

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.links import Links
from lanebus.broker.outgoing import Counters, Outgoing
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.header import HEADER_BYTES, Header, decode_header, encode_header
from lanebus.wire.kinds import Kind, LinkState
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import ErrorMessage, decode_message
from lanebus.wire.names import Role


class Scene:
    """Links, what is sent, and who was told to be away."""

    def __init__(self) -> None:
        self.outgoing = Outgoing(Counters())
        self.away: list[tuple[str, float, bool]] = []
        self.links = Links(self.outgoing, self._note)

    def _note(self, attachment: Attachment, now: float, leaves: bool) -> None:
        self.away.append((attachment.name, now, leaves))

    def hello(self, lane: Lane, route: bytes) -> Link:
        link = self.links.first(lane, route, header(Kind.HELLO, lane), 1.0)
        assert link is not None
        return link


def header(kind: Kind, lane: Lane) -> Header:
    return decode_header(encode_header(kind, lane, 0, incarnation=7), max_raw_bytes=100)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_hello_makes_a_link_of_a_connection(scene: Scene) -> None:
    link = scene.hello(Lane.LOW, b"r")
    assert (link.state, link.incarnation, link.since) == (LinkState.NEW, 7, 1.0)
    assert scene.links.get(Lane.LOW, b"r") is link
    assert scene.links.get(Lane.CRITICAL, b"r") is None
    assert list(scene.links) == [link]


def test_who_does_not_say_hello_first_is_told_and_leaves_nothing_behind(scene: Scene) -> None:
    assert scene.links.first(Lane.LOW, b"r", header(Kind.BATCH, Lane.LOW), 1.0) is None
    ((lane, route, frame),) = scene.outgoing.take()
    told = decode_message(Kind.ERROR, lane, frame[HEADER_BYTES:])
    assert (lane, route) == (Lane.LOW, b"r")
    assert isinstance(told, ErrorMessage)
    assert told.number == ErrorNumber.NO_SESSION
    assert list(scene.links) == []


def test_a_stranger_is_told_once_a_second(scene: Scene) -> None:
    for now in (1.0, 1.1, 1.9, 2.0):
        scene.links.first(Lane.LOW, b"r", header(Kind.BATCH, Lane.LOW), now)
    assert len(scene.outgoing.take()) == 2


def test_an_error_of_a_stranger_is_not_answered(scene: Scene) -> None:
    assert scene.links.first(Lane.LOW, b"r", header(Kind.ERROR, Lane.LOW), 1.0) is None
    assert scene.outgoing.take() == []


@pytest.mark.parametrize("leaves", [False, True])
def test_the_links_of_an_attachment_end_together_and_it_is_away_once(scene: Scene, leaves: bool) -> None:
    attachment = Attachment("player:1", Role.CLIENT, b"p" * 16, b"t" * 16, 1.0)
    for lane in LANES:
        attachment.links[lane] = scene.hello(lane, b"r")
    links = list(scene.links)
    for link in links:
        link.attachment = attachment
    attachment.away_since = None
    scene.links.drop(links[1], 5.0, "it dialled anew", leaves=leaves)
    scene.links.drop(links[0], 6.0, "it is dropped twice")
    assert {link.state for link in links} == {LinkState.CLOSED}
    assert list(scene.links) == []
    assert list(attachment.live_links()) == []
    assert scene.away == [("player:1", 5.0, leaves)]
    assert attachment.line.lost_reason == ("" if leaves else "it dialled anew")


def test_a_connection_without_an_attachment_ends_alone(scene: Scene) -> None:
    link, other = scene.hello(Lane.LOW, b"r"), scene.hello(Lane.LOW, b"s")
    scene.links.drop(link, 5.0, "its connection was gone")
    assert list(scene.links) == [other]
    assert scene.away == []


def test_a_link_in_doubt_is_spoken_to_and_what_is_none_is_not(scene: Scene) -> None:
    scene.hello(Lane.CRITICAL, b"r")
    scene.hello(Lane.LOW, b"l")
    assert [scene.links.probe(route) for route in (b"r", b"l", b"nobody")] == [True, False, False]
    ((lane, route, frame),) = scene.outgoing.take()
    assert (lane, route) == (Lane.CRITICAL, b"r")
    assert decode_header(frame, max_raw_bytes=100).kind is Kind.ACK


def test_every_frame_that_is_read_changes_what_was_heard_with_and_without_a_link(scene: Scene) -> None:
    link = scene.hello(Lane.LOW, b"r")
    heard = [scene.links.heard(Lane.LOW, b"r")]
    link.heard_at = 3.0
    heard.append(scene.links.heard(Lane.LOW, b"r"))
    scene.links.drop(link, 5.0, "its connection was gone")
    heard.append(scene.links.heard(Lane.LOW, b"r"))
    for _ in range(2):
        scene.links.strangers.sent(Lane.LOW, b"r", 10, 6.0)
        heard.append(scene.links.heard(Lane.LOW, b"r"))
    assert len(set(heard)) == len(heard)


@pytest.mark.parametrize("name", ["server:a", "player:1", "gateway:g"])
def test_who_says_goodbye_is_not_called_away(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lanebus.broker")
    bench = Bench()
    Peer(bench, name).attach().bye()
    said = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert any("said goodbye" in text for text in said)
    assert not any("is away" in text for text in said)


def test_who_loses_its_links_is_called_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lanebus.broker")
    bench = Bench()
    Peer(bench, "player:1").attach()
    bench.advance(60.0)
    assert "= player:1 is away" in [record.getMessage() for record in caplog.records]
