"""What the broker remembers of a session: what it shows of itself, and what its peer says of its own book."""

from lanebus.broker.attachment import Attachment
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.conf.model import QualityConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role


def an_attachment(name: str = "player:1", role: Role = Role.CLIENT) -> Attachment:
    return Attachment(name, role, b"p" * 16, b"t" * 16, 0.0)


def a_session(attachment: Attachment) -> Session:
    return Session(
        attachment, 0, attachment.name, attachment.role, b"p" * 16, 7, Quality(QualityConfig()), 0.0
    )


def test_a_session_shows_itself_in_a_line() -> None:
    session = a_session(an_attachment())
    assert repr(session) == "<Session player:1 origin=7>"
    session.ended = True
    assert repr(session) == "<Session player:1 origin=7 ended>"


def test_a_report_of_a_peer_brings_what_it_withheld_into_the_brokers_book() -> None:
    session = a_session(an_attachment())
    session.sending[Lane.LOW].is_new(1)
    session.sending[Lane.LOW].book.accepted += 1
    zeros = [0] * 7
    session.report([zeros, zeros, [6, 0, 2, 1, 2, 0, 0, 2, 1, 2]])
    assert session.reported is not None
    assert session.sending[Lane.LOW].book == session.reported[Lane.LOW]
    session.report([zeros, zeros, [6, 0, 2, 1, 2, 0, 0, 2, 1]])
    assert session.sending[Lane.LOW].withheld == [2, 1, 0, 0]
    session.report([zeros, zeros, zeros])
    assert session.sending[Lane.LOW].book.as_list() == [1, 0, 0, 0, 0, 0, 0]
