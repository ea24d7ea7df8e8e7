"""What a message says, in a few words for a log line or a trace; never a token, a process or a payload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from lanebus.broker.attachment import Link
from lanebus.wire.batches import UpEvent
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES
from lanebus.wire.messages import (
    Ack,
    Done,
    ErrorMessage,
    Hello,
    Kept,
    Served,
    Services,
    Settle,
    Settlement,
    Throttle,
    Throttled,
    Welcome,
)
from lanebus.wire.pings import Ping
from lanebus.wire.presence import Presence

TEXT_CHARACTERS: Final = 300
"""Longest description; what is longer is cut, and ends with three dots."""
TOPICS_NAMED: Final = 4
"""Topics of one batch that are named, the others are counted; and lanes of one throttle."""

FREQUENT: Final = frozenset({Kind.BATCH, Kind.ACK, Kind.SETTLE, Kind.PING, Kind.PONG})
"""Kinds that travel all the time: a trace shows those of one peer, a log shows none."""

_HIDDEN: Final = frozenset({"token", "process", "books", "served_by", "sent", "kept_by", "versions"})
"""Fields that are secret, or too long to be read."""


def name_of(link: Link | None) -> str:
    """Who is at the other end of a connection."""
    return "a stranger" if link is None or link.attachment is None else link.attachment.name


def describe(message: Any) -> str:
    """A message of any kind but a batch, in one line of at most `TEXT_CHARACTERS`."""
    if isinstance(message, Settle):
        text = _settlements(message.settlements)
    elif isinstance(message, Ack):
        text = f"received up to {', '.join(map(str, message.acks))}"
    elif isinstance(message, Ping):
        text = f"round trip {message.rtt_us / 1e3:.1f} ms" if message.rtt_us else "no round trip yet"
        if message.quality is not None:
            text += f", it finds its connection {message.quality.value}: {message.reason}"
    elif isinstance(message, Hello):
        text = f"{message.role.value} {message.name}, {'to resume' if message.token else 'anew'}"
    elif isinstance(message, Welcome):
        text = f"{'resumed' if message.resumed else 'anew'}, generation {message.generation}"
    elif isinstance(message, ErrorMessage):
        text = f"{_numbered(message.number)}: {message.text}"
    elif isinstance(message, Done):
        text = f"request {message.request}"
        if message.error:
            text += f" refused, error {_numbered(message.error)}: {message.detail}"
    elif isinstance(message, Throttle):
        text = ", ".join(_throttled(entry) for entry in message.entries[:TOPICS_NAMED])
    elif isinstance(message, Presence | Served | Kept | Services):
        text = f"{len(message.entries)} entries"
    else:
        text = _fields(message)
    return _cut(text)


def describe_up(events: Sequence[UpEvent]) -> str:
    """The topics of events from a peer, and where they go."""
    return _topics(f"{event.topic} to {_destination(event.to)}" for event in events)


def describe_down(events: Iterable[tuple[str, str]]) -> str:
    """The topics of events to a peer, and who sent them; given as pairs."""
    return _topics(f"{topic} from {sender}" for topic, sender in events)


def concerns(message: Any, index: int, name: str) -> bool:
    """Whether a gateway's message, or one to it, is about one of its sessions, or ends the link for all."""
    if isinstance(message, Settle):
        return any(settlement.session == index for settlement in message.settlements)
    if isinstance(message, Throttle):
        return any(entry.session == index for entry in message.entries)
    if isinstance(message, Hello | Welcome | ErrorMessage):
        return True
    return (
        index in (getattr(message, "session", None), getattr(message, "index", None))
        or getattr(message, "member", None) == name
    )


def only_session(message: Any, index: int) -> Any:
    """A message with what it says of one session alone, where it is about many."""
    if isinstance(message, Settle):
        return Settle(message.acks, [each for each in message.settlements if each.session == index])
    if isinstance(message, Throttle):
        return Throttle(entries=[each for each in message.entries if each.session == index])
    return message


def _settlements(settlements: Sequence[Settlement]) -> str:
    counts: dict[str, int] = {}
    for settlement in settlements:
        runs = settlement.runs
        number = sum(last - first + 1 for first, last in zip(runs[::2], runs[1::2], strict=True))
        reason = f" ({settlement.reason.value})" if settlement.reason else ""
        end = f"{settlement.lane.label} {settlement.outcome.label}{reason}"
        counts[end] = counts.get(end, 0) + number
    return ", ".join(f"{number} {end}" for end, number in counts.items())


def _throttled(entry: Throttled) -> str:
    wait = f"again in {entry.retry_after_ms:.0f} ms"
    return f"{entry.lane.label} from event {entry.number} on, over {entry.limit}, {wait}"


def _numbered(error: int) -> str:
    try:
        return f"{error} {ErrorNumber(error).label}"
    except ValueError:
        return str(error)


def _fields(message: msgspec.Struct) -> str:
    told = []
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        if field.name not in _HIDDEN and value != field.default and value not in ([], ""):
            told.append(f"{field.name} {_value(field.name, value)}")
    return ", ".join(told)


def _value(name: str, value: Any) -> str:
    if name == "lane" and value < len(LANES):
        return LANES[value].label
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return str(getattr(value, "label", value))


def _destination(to: str | list[str] | None) -> str:
    if isinstance(to, str):
        return to
    return "its service" if to is None else f"{len(to)} destinations"


def _topics(named: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in named:
        counts[name] = counts.get(name, 0) + 1
    shown = [
        f"{number} x {name}" if number > 1 else name for name, number in [*counts.items()][:TOPICS_NAMED]
    ]
    if len(counts) > TOPICS_NAMED:
        shown.append(f"and {len(counts) - TOPICS_NAMED} other topics")
    return _cut(", ".join(shown))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 3]}..."
