"""One valid frame of every kind, and the whole way from a frame to a message as a reader takes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lanebus.wire.alerts import AlertEntry, AlertNews
from lanebus.wire.batches import DownEvent, Source, UpEvent, decode_down, decode_up, encode_batch
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_TARGETED, decode_header, encode_header
from lanebus.wire.kinds import Kind, Side
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import (
    Ack,
    Assign,
    Bye,
    Close,
    Done,
    Drain,
    ErrorMessage,
    Gone,
    HealthReport,
    Hello,
    Join,
    Kept,
    LaneHello,
    LaneWelcome,
    Leave,
    Limits,
    Message,
    Open,
    Pause,
    Register,
    Served,
    Services,
    Settle,
    Settlement,
    Throttle,
    Throttled,
    Watch,
    Watched,
    Welcome,
    decode_message,
)
from lanebus.wire.names import Role
from lanebus.wire.outboxes import OutboxReport
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.pings import Ping, Pong
from lanebus.wire.presence import Presence, PresenceEntry, What
from lanebus.wire.quality import Degree
from lanebus.wire.reports import LaneTimes, SessionReport, TopicTimes, UnhandledTopic, WaitingLane
from lanebus.wire.services import Health, Instance, ServiceState

PROCESS = bytes(range(16))
TOKEN = bytes(range(100, 116))
BOOKS = [[7, 4, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0], [300, 299, 0, 0, 0, 0, 1]]
MAX_RAW_BYTES = 1 << 20

WELCOME = Welcome(
    version=1,
    broker="lanebus",
    epoch=b"\x01\x02\x03\x04\x05\x06\x07\x08",
    token=TOKEN,
    resumed=False,
    generation=3,
    host="",
    ports=[5570, 5571, 5572],
    clock=123_456,
    intervals_ms=[16.0, 50.0, 200.0],
    holds_ms=[12.0, 45.0, 190.0],
    window_batches=64,
    window_bytes=4_194_304,
    batch_bytes=32_768,
    credit_bytes=1_048_576,
    control_interval_ms=200.0,
    ping_interval_ms=2000.0,
    failover_ms=2000.0,
    lease_ms=10_000.0,
    compression_threshold_bytes=256,
    limits=Limits(),
)

MESSAGES: dict[str, tuple[Kind, Lane, Message]] = {
    "hello": (
        Kind.HELLO,
        Lane.CRITICAL,
        Hello(name="player:42", role=Role.CLIENT, process=PROCESS, versions=(1, 1), compressions=["lz4"]),
    ),
    "lane hello": (Kind.HELLO, Lane.LOW, LaneHello(token=TOKEN)),
    "welcome": (Kind.WELCOME, Lane.CRITICAL, WELCOME),
    "lane welcome": (Kind.WELCOME, Lane.NORMAL, LaneWelcome(lane=1)),
    "ack": (Kind.ACK, Lane.CRITICAL, Ack([1, 2, 300])),
    "settle": (
        Kind.SETTLE,
        Lane.CRITICAL,
        Settle(
            [1, 0, 70_000],
            [
                Settlement(0, 9, Lane.CRITICAL, Outcome.DELIVERED, Reason.NONE, [1, 4, 6, 6]),
                Settlement(3, 9, Lane.LOW, Outcome.REFUSED, Reason.NO_HANDLER, [5, 5]),
            ],
        ),
    ),
    "ping": (
        Kind.PING,
        Lane.CRITICAL,
        Ping(
            81_000_000,
            412,
            [(0, BOOKS)],
            Degree.FAIR,
            "loss 3.1 %",
            [OutboxReport(0, 7_000_000, 8_388_608, 3)],
            [
                SessionReport(
                    0,
                    [UnhandledTopic("player.wave", "player:42", 3)],
                    [WaitingLane(Lane.LOW, 9, 900)],
                    [LaneTimes(Lane.LOW, 30, 20, [10, 1, 18, 2])],
                )
            ],
            250,
            [TopicTimes("player.wave", Lane.LOW, 9, 1, 200_000, 900, 700, 4_000, 300_000)],
        ),
    ),
    "pong": (Kind.PONG, Lane.CRITICAL, Pong(81_000_000, 810_004)),
    "open": (
        Kind.OPEN,
        Lane.CRITICAL,
        Open(request=1, index=1, name="player:7", process=PROCESS, rtt_ms=31.5),
    ),
    "close": (Kind.CLOSE, Lane.CRITICAL, Close(request=2, index=1, books=BOOKS)),
    "register": (
        Kind.REGISTER,
        Lane.CRITICAL,
        Register(
            request=3,
            service="combat",
            topics=["player.*", "combat.**"],
            version="1.4",
            priority=-10,
            weight=2,
            tags=["eu", "ranked"],
            depends_on=["world"],
            health=Health.STARTING,
            reason="loading the map",
        ),
    ),
    "assign": (
        Kind.ASSIGN,
        Lane.CRITICAL,
        Assign(request=4, player="player:7", service="combat", instance=None),
    ),
    "join": (Kind.JOIN, Lane.CRITICAL, Join(request=5, group="room:7", member="player:7")),
    "leave": (Kind.LEAVE, Lane.CRITICAL, Leave(request=6, group="room:7", member="player:7")),
    "done": (Kind.DONE, Lane.CRITICAL, Done(request=6, error=501, detail="no session of player:7")),
    "pause": (Kind.PAUSE, Lane.CRITICAL, Pause(session=0, lane=Lane.LOW, destination="player:7")),
    "unpause": (Kind.UNPAUSE, Lane.CRITICAL, Pause(session=0, lane=Lane.LOW, destination="player:7")),
    "served": (
        Kind.SERVED,
        Lane.CRITICAL,
        Served(entries=[(0, "combat", [("server:arena-1", [1, 8, 1], False)])]),
    ),
    "gone": (Kind.GONE, Lane.CRITICAL, Gone(names=["player:42"], origins=[7, 9])),
    "kept": (Kind.KEPT, Lane.CRITICAL, Kept(entries=[("room:7", ["server:matchmaker"])])),
    "throttle": (
        Kind.THROTTLE,
        Lane.CRITICAL,
        Throttle(entries=[Throttled(0, Lane.LOW, 12, "events_per_s", 250.0, 100.0, 0.0)]),
    ),
    "drain": (Kind.DRAIN, Lane.CRITICAL, Drain(deadline_ms=1500.0)),
    "health": (
        Kind.HEALTH,
        Lane.CRITICAL,
        HealthReport(request=7, service="combat", health=Health.DEGRADED, reason="the database is slow"),
    ),
    "services": (
        Kind.SERVICES,
        Lane.CRITICAL,
        Services(
            entries=[
                Instance("combat", "server:arena-1", ServiceState.READY, "", "1.4", -10, 2, ["eu"]),
                Instance("world", "server:world-1", ServiceState.GONE, "it has left"),
            ],
            at=64,
            of=66,
        ),
    ),
    "watch": (Kind.WATCH, Lane.CRITICAL, Watch(request=8, what=Watched.SERVICES, on=False)),
    "presence": (
        Kind.PRESENCE,
        Lane.CRITICAL,
        Presence(
            entries=[
                PresenceEntry(
                    "player:7", What.QUALITY, Degree.POOR, Degree.GOOD, "jitter 150 ms", 90_000, 1, 1, 3_500
                )
            ]
        ),
    ),
    "alerts": (
        Kind.ALERTS,
        Lane.CRITICAL,
        AlertNews(
            entries=[
                AlertEntry("slow_receiver", "player:7", Lane.LOW, False, 5_250, 3, {"held_bytes": 70_000}),
                AlertEntry("memory", "", None, True, 90_000, 0, {"budget_share": 0.59}),
            ],
            begins=True,
            ends=True,
        ),
    ),
    "bye": (Kind.BYE, Lane.CRITICAL, Bye(reason="the match is over", books=[(0, BOOKS)])),
    "error": (Kind.ERROR, Lane.NORMAL, ErrorMessage(number=204, text="batch 7, expected 6")),
}

UP_EVENTS = [
    UpEvent(0, 5, 4_000_000, "player.attack", "service:combat", b"\x81\xa1t\x07", []),
    UpEvent(0, 6, 4_000_010, "chat.line", ["player:1", "group:room:7"], b"\xa2hi", ["player:3"]),
    UpEvent(0, 8, 4_000_020, "player.moved", None, b"\x92\x01\x02", []),
]
DOWN_EVENTS = [
    DownEvent(9, 5, 4_000_000, 0, "combat.hit", b"\x81\xa1d\x11"),
    DownEvent(10, 1, 4_000_001, 1, "unit.state", b"\x90"),
]
SOURCES = [Source(9, 5, "server:arena-1", PROCESS), Source(10, 1)]


def encode_control(kind: Kind, lane: Lane, message: Message) -> bytes:
    """A frame of any kind but batch."""
    body = encode_body(message)
    return encode_header(kind, lane, len(body), incarnation=3, ack=2) + body


def encode_up(events: list[UpEvent], *, threshold_bytes: int = 0) -> bytes:
    """A frame with a batch from a peer."""
    return encode_batch(
        Lane.NORMAL,
        (12, 1, [(0, 5)]),
        events,
        incarnation=3,
        number=1,
        ack=2,
        threshold_bytes=threshold_bytes,
    ).frame


def encode_down(*, targeted: bool) -> bytes:
    """A frame with a batch from the broker."""
    events: list[Any] = [([1, 2], event) for event in DOWN_EVENTS] if targeted else DOWN_EVENTS
    return encode_batch(
        Lane.NORMAL,
        (12, SOURCES),
        events,
        incarnation=3,
        number=1,
        ack=2,
        threshold_bytes=0,
        flags=FLAG_TARGETED if targeted else 0,
    ).frame


FRAMES: dict[str, tuple[Side, bytes]] = {
    **{
        name: (
            Side.BROKER if kind in (Kind.WELCOME, Kind.PONG, Kind.DONE, Kind.PAUSE) else Side.PEER,
            encode_control(kind, lane, message),
        )
        for name, (kind, lane, message) in MESSAGES.items()
    },
    "batch up": (Side.PEER, encode_up(UP_EVENTS)),
    "batch up, compressed": (Side.PEER, encode_up(UP_EVENTS * 20, threshold_bytes=64)),
    "batch down": (Side.BROKER, encode_down(targeted=False)),
    "batch down, targeted": (Side.BROKER, encode_down(targeted=True)),
}
"""Who sends it, and the frame."""


def read(frame: bytes, side: Side, *, max_raw_bytes: int = MAX_RAW_BYTES) -> Message:
    """The message in a frame from `side`, as a reader gets it: header, body, decoding."""
    header = decode_header(frame, max_raw_bytes=max_raw_bytes)
    raw = open_body(frame, header)
    if header.kind is not Kind.BATCH:
        return decode_message(header.kind, header.lane, raw)
    return decode_up(header, raw) if side is Side.PEER else decode_down(header, raw)


@contextmanager
def unless_refused(*numbers: ErrorNumber) -> Iterator[None]:
    """What is inside may end in a protocol error, of these numbers if any are given, and in no other exception."""
    try:
        yield
    except ProtocolError as error:
        if numbers and error.number not in numbers:
            raise
