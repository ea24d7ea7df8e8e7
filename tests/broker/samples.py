"""One well-formed message of every kind."""

from tests.broker.peer import Peer

from lanebus.wire.alerts import AlertNews
from lanebus.wire.header import VERSION
from lanebus.wire.kinds import Kind
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
    LaneWelcome,
    Leave,
    Open,
    Pause,
    Register,
    Served,
    Services,
    Settle,
    Throttle,
    Throttled,
    Watch,
    Watched,
)
from lanebus.wire.names import Role
from lanebus.wire.pings import Ping, Pong
from lanebus.wire.presence import Presence
from lanebus.wire.services import Health

PROCESS = b"p" * 16
BODIES = {
    Kind.HELLO: Hello(name="player:7", role=Role.CLIENT, process=PROCESS, versions=(VERSION, VERSION)),
    Kind.WELCOME: LaneWelcome(lane=1),
    Kind.ACK: Ack([0, 0, 0]),
    Kind.SETTLE: Settle([0, 0, 0], []),
    Kind.PING: Ping(1, 0, []),
    Kind.PONG: Pong(1, 1),
    Kind.OPEN: Open(request=1, index=1, name="player:8", process=PROCESS),
    Kind.CLOSE: Close(request=1, index=1),
    Kind.REGISTER: Register(request=1, service="s", topics=[]),
    Kind.ASSIGN: Assign(request=1, player="player:1", service="s", instance=None),
    Kind.JOIN: Join(request=1, group="g", member="player:1"),
    Kind.LEAVE: Leave(request=1, group="g", member="player:1"),
    Kind.DONE: Done(request=1),
    Kind.PAUSE: Pause(session=0, lane=Lane.LOW, destination=""),
    Kind.UNPAUSE: Pause(session=0, lane=Lane.LOW, destination=""),
    Kind.KEPT: Kept(entries=[("room", ["server:a"])]),
    Kind.SERVED: Served(entries=[(0, "s", [("server:a", [1, 1, 1], False)])]),
    Kind.DRAIN: Drain(deadline_ms=1000.0),
    Kind.THROTTLE: Throttle(entries=[Throttled(0, Lane.LOW, 1, "events_per_s", 10.0, 100.0, 0.0)]),
    Kind.HEALTH: HealthReport(request=1, service="s", health=Health.OK),
    Kind.SERVICES: Services(entries=[]),
    Kind.WATCH: Watch(request=1, what=Watched.SERVICES),
    Kind.PRESENCE: Presence(entries=[]),
    Kind.ALERTS: AlertNews(entries=[]),
    Kind.GONE: Gone(names=["player:1"], origins=[1]),
    Kind.BYE: Bye(),
    Kind.ERROR: ErrorMessage(number=107, text="no"),
}


def say(peer: Peer, kind: Kind, lane: Lane) -> None:
    """Send a well-formed message of `kind` on `lane`, legal or not."""
    if kind is Kind.BATCH:
        peer.send("t", "server:z", lane)
    else:
        peer.say(kind, BODIES[kind], lane)
