"""What the broker remembers of sessions and attachments: queues that start again, and what they show of themselves."""

import pytest

from lanebus.broker.events import Event
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Attachment, Entry, Outbound, Sent, Session
from lanebus.conf.model import QualityConfig
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role


def an_attachment(name: str = "player:1", role: Role = Role.CLIENT) -> Attachment:
    return Attachment(name, role, b"p" * 16, b"t" * 16, 0.0)


def a_session(attachment: Attachment) -> Session:
    return Session(
        attachment, 0, attachment.name, attachment.role, b"p" * 16, 7, Quality(QualityConfig()), 0.0
    )


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


def test_sessions_and_attachments_show_themselves_in_a_line() -> None:
    attachment = an_attachment()
    session = a_session(attachment)
    attachment.sessions[0] = session
    assert repr(attachment) == "<Attachment player:1 links=0 sessions=1>"
    assert repr(session) == "<Session player:1 origin=7>"
    session.ended = True
    assert repr(session) == "<Session player:1 origin=7 ended>"
    assert list(attachment.live_links()) == []
    assert [out.lane for out in attachment.outbound] == list(LANES)


def test_a_report_of_a_peer_brings_what_it_withheld_into_the_brokers_book() -> None:
    session = a_session(an_attachment())
    session.sending[Lane.LOW].is_new(1)
    session.sending[Lane.LOW].book.accepted += 1
    zeros = [0] * 7
    session.report([zeros, zeros, [6, 0, 2, 1, 2, 0, 0, 2, 1, 2]])
    assert session.reported is not None
    assert session.sending[Lane.LOW].book == session.reported[Lane.LOW]
    session.report([zeros, zeros, [6, 0, 2, 1, 2, 0, 0, 2, 1]])
    assert session.sending[Lane.LOW].withheld == [2, 1, 0]
    session.report([zeros, zeros, zeros])
    assert session.sending[Lane.LOW].book.as_list() == [1, 0, 0, 0, 0, 0, 0]
