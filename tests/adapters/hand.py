"""A hand that plays the broker towards one attachment's core, with a number for the time."""

from collections.abc import Callable
from typing import Any

from tests.adapters.down import batch, frame, header_of, row, welcome

from lanebus.adapters.actions import Action, Send, State
from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.event import Event
from lanebus.adapters.session import SessionCore
from lanebus.wire.bodies import open_body
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import ErrorMessage, LaneWelcome, decode_message
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

START = 100.0
ADDRESS = "tcp://127.0.0.1:5570"
SENDER = (1, 1, "server:s", b"s" * 16)


class Hand:
    """A core, the time, and what it wants."""

    def __init__(self, *, brokers: tuple[str, ...] = (ADDRESS,), role: Role = Role.SERVER) -> None:
        self.core = AttachmentCore("server:a", role, b"p" * 16, brokers)
        self.session: SessionCore = self.core.open_session(
            0, "server:a", b"p" * 16, outbox_bytes=1 << 20, strict=False
        )
        self.now = START
        self.actions: list[Action] = []
        self.incarnation = 0

    def state(self) -> State:
        """Where it is in its life."""
        return self.core.state

    def take(self) -> list[Action]:
        """The new actions; all of them are kept."""
        taken = self.core.take()
        self.actions.extend(taken)
        return taken

    def sent(self) -> list[tuple[Lane, Kind, Any]]:
        """What is sent now: lane, kind and message (the header for a batch)."""
        return [opened(action) for action in self.take() if isinstance(action, Send)]

    def start(self) -> "Hand":
        self.core.start(self.now)
        self.incarnation += 1
        return self

    def up(self, **changes: Any) -> "Hand":
        self.start()
        self.welcome(**changes)
        self.end_turn()
        self.take()
        return self

    def welcome(self, **changes: Any) -> None:
        self.say(Kind.WELCOME, welcome(**changes))
        for lane in (Lane.NORMAL, Lane.LOW):
            self.say(Kind.WELCOME, LaneWelcome(lane=lane), lane=lane)

    def again(self, **changes: Any) -> None:
        """Come back after a loss."""
        self.wait_for_retry()
        self.take()
        self.welcome(**changes)

    def wait_for_retry(self) -> None:
        retry_at = self.core.next_timer()
        assert retry_at is not None
        self.now = max(self.now, retry_at)
        self.end_turn()
        self.incarnation += 1

    def say(self, kind: Kind, message: Any, *, lane: Lane = Lane.CRITICAL, ack: int = 0) -> None:
        self.receive(frame(kind, message, lane=lane, incarnation=self.incarnation, ack=ack), lane=lane)

    def receive(self, data: bytes, *, lane: Lane = Lane.CRITICAL, more: bool = False) -> None:
        self.core.receive(lane, data, self.now, more=more)

    def error(self, number: int) -> None:
        self.say(Kind.ERROR, ErrorMessage(number=number, text="the reason"))

    def on(self, topic: str, function: Callable[[Event], None]) -> None:
        """Handle a topic."""
        self.session.handlers.add(topic, function)

    def arrive(self, number: int, *, size: int = 1, lane: Lane = Lane.NORMAL, flags: int = 0) -> None:
        """A batch of one event arrives; both have this number."""
        source = SENDER if number == 1 else SENDER[:2]
        event = row(1, number, payload=b"x" * size, flags=flags)
        self.receive(batch(number, [source], [event], lane=lane, incarnation=self.incarnation), lane=lane)

    def handle_all(self) -> None:
        for arrivals in self.core.incoming.arrivals:
            while arrivals:
                stream, event = arrivals.popleft()
                stream.inbox.settle(stream, event, (Outcome.DELIVERED, Reason.NONE))

    def send(self, *, lane: Lane = Lane.NORMAL, to: str = "server:b") -> None:
        event = self.session.outbox.accept(
            0, lane, "t", to, [], b"x", self.now, self.core.requests.last, receipt=True
        )
        self.core.outgoing.put(event)

    def end_turn(self, next_turn_in_s: float = 0.0) -> None:
        self.core.end_turn(self.now, self.now + next_turn_in_s)


def opened(action: Send) -> tuple[Lane, Kind, Any]:
    """Lane, kind and message of what is sent; for a batch its header."""
    header = header_of(action.frame)
    assert header.lane is action.lane
    if header.kind is Kind.BATCH:
        return action.lane, header.kind, header
    return action.lane, header.kind, decode_message(header.kind, header.lane, open_body(action.frame, header))


def kinds(sent: list[tuple[Lane, Kind, Any]]) -> list[Kind]:
    """What was sent, by kind."""
    return [kind for _, kind, _ in sent]
