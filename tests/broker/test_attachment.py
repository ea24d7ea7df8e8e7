"""What the broker remembers of an attachment: queues that start again on fresh links, and what it shows of itself."""

import pytest
from tests.broker.test_sessions import a_session, an_attachment

from lanebus.broker.attachment import Entry, Outbound, Sent
from lanebus.broker.events import Event
from lanebus.broker.sessions import Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role


def an_event(session: Session, number: int, payload: bytes = b"") -> Event:
    return Event(session, Lane.LOW, number, b"x" * 10 + payload, 10 + len(payload), None, 0.0, 1.0)


def test_what_was_not_acknowledged_goes_back_to_the_head_in_order() -> None:
    attachment = an_attachment()
    session = a_session(attachment)
    out = Outbound(attachment, Lane.LOW)
    entries: list[Entry] = [(an_event(session, number), session.alone) for number in range(1, 7)]
    out.unacked.extend([Sent(1, 20, entries[:2], 0.0), Sent(2, 10, entries[2:3], 0.0)])
    out.unacked_bytes = 30
    out.queue.extend(entries[3:])
    out.queued_bytes = 30
    out.next_number = 3
    out.announced.add(7)
    out.relink()
    assert [event.number for event, _ in out.queue] == [1, 2, 3, 4, 5, 6]
    assert (out.queued_bytes, out.unacked_bytes, out.resent, out.next_number) == (60, 0, 3, 1)
    assert not out.unacked
    assert not out.announced


@pytest.mark.parametrize(
    ("role", "targeted"), [(Role.CLIENT, False), (Role.SERVER, False), (Role.GATEWAY, True)]
)
def test_only_batches_to_gateways_name_their_sessions(role: Role, targeted: bool) -> None:
    assert an_attachment(role=role).targeted is targeted


def test_an_attachment_shows_itself_in_a_line() -> None:
    attachment = an_attachment()
    attachment.sessions[0] = a_session(attachment)
    assert repr(attachment) == "<Attachment player:1 links=0 sessions=1>"
    assert list(attachment.live_links()) == []
    assert [out.lane for out in attachment.outbound] == list(LANES)
