"""Recorded matches: a trace file (game-trace/1: gzip, JSON lines) read into compact memory, with exact errors."""

from __future__ import annotations

import gzip
import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from lanebus.cli.exits import CliError, Exit
from lanebus.wire.lanes import lane_of
from lanebus.wire.names import MAX_NAME_BYTES, valid_topic

_T = TypeVar("_T")

FORMAT: Final = "game-trace/1"
"""The only format that is read."""

SERVER: Final = "server"
"""How a trace names the match's server as sender or receiver."""
ALL: Final = "all"
"""How a trace names every player of the match as receivers."""

_PLAYER = re.compile(r"player:[A-Za-z0-9_-]{1,16}\Z")
_SUFFIXES: Final = (".jsonl.gz", ".json.gz", ".gz")
_MATCH = re.compile(r"[A-Za-z0-9_.-]+\Z")
# A player's name on the bus is the match's, a dot and up to 16 characters.
_MATCH_BYTES: Final = MAX_NAME_BYTES - 17


class _Header(msgspec.Struct, frozen=True):
    """The first line, as far as it is needed."""

    format: Literal["game-trace/1"]
    duration_s: Annotated[float, Meta(ge=0.0)]
    players: list[str]
    events: Annotated[int, Meta(ge=0)]
    game: str = ""
    mode: str = ""
    observers: list[str] = []
    bots: list[str] = []


class _Line(msgspec.Struct, frozen=True, gc=False):
    """Every other line."""

    t: Annotated[float, Meta(ge=0.0)]
    sender: str = msgspec.field(name="from")
    to: str
    topic: str
    lane: Literal["critical", "normal", "low"]
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One match. The lists hold one entry for each event, in the order of the recording."""

    name: str
    """The file's name without its endings."""
    game: str
    mode: str
    duration_s: float
    """Length of the whole match in match time, seconds."""
    players: tuple[str, ...]
    """Human players, as `player:3`."""
    observers: tuple[str, ...]
    bots: tuple[str, ...]
    times_s: array[float] = field(default_factory=lambda: array("d"))
    """Match time, seconds; never falls."""
    senders: list[str] = field(default_factory=list)
    """`server`, or a player or observer."""
    receivers: list[str] = field(default_factory=list)
    """`server`, `all`, or a player, observer or bot."""
    topics: list[str] = field(default_factory=list)
    lanes: array[int] = field(default_factory=lambda: array("b"))
    """Numbers of `lanebus.wire.lanes.Lane`."""
    payloads: list[bytes] = field(default_factory=list)
    """MessagePack of the recorded data."""


def read_trace(path: Path, *, from_s: float = 0.0, until_s: float | None = None) -> Trace:
    """Read the events of a trace file from match time `from_s` up to, and without, `until_s`.

    The whole file is checked, also what lies outside the slice.

    Raises:
        CliError: `NO_INPUT` when the file cannot be read; `BAD_DATA` when it is not gzip, cut off, or a line is not
            what the format says. The text names the file and the line.
    """
    return _Reader(path, from_s, until_s).read()


class _Reader:
    """One pass through one file."""

    def __init__(self, path: Path, from_s: float, until_s: float | None) -> None:
        self._path = path
        self._from_s = from_s
        self._until_s = float("inf") if until_s is None else until_s
        self._line = 0

    def read(self) -> Trace:
        name = self._match_name()
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            raise self._bad("is empty; its first line is the match's header")
        header = self._decode(msgspec.json.Decoder(_Header).decode, first)
        everybody = [*header.players, *header.observers, *header.bots]
        for peer in everybody:
            if not _PLAYER.match(peer):
                raise self._bad(f"{peer!r} cannot name a player; write it as player:N")
        if len(set(everybody)) != len(everybody):
            raise self._bad("the same player is listed twice")
        trace = Trace(
            name=name,
            game=header.game,
            mode=header.mode,
            duration_s=header.duration_s,
            players=tuple(header.players),
            observers=tuple(header.observers),
            bots=tuple(header.bots),
        )
        self._read_events(lines, trace, frozenset(everybody))
        events = self._line - 1
        if events != header.events:
            raise self._bad(f"the file ends after {events} events, and its header promises {header.events}")
        return trace

    def _read_events(self, lines: Iterator[bytes], trace: Trace, everybody: frozenset[str]) -> None:
        decode = msgspec.json.Decoder(_Line).decode
        encode = msgspec.msgpack.Encoder().encode
        # The same few strings, and many of the same payloads, come again and again: each is kept once.
        names: dict[str, str] = {name: name for name in (SERVER, ALL, *everybody)}
        senders = frozenset({SERVER, *trace.players, *trace.observers})
        topics: dict[str, str] = {}
        payloads: dict[bytes, bytes] = {}
        lanes = {name: int(lane_of(name)) for name in ("critical", "normal", "low")}
        previous_s = 0.0
        for line in lines:
            event = self._decode(decode, line)
            time_s = event.t
            if time_s < previous_s:
                raise self._bad(f"t = {time_s:g} is before the {previous_s:g} of the line above")
            previous_s = time_s
            topic = topics.get(event.topic)
            if topic is None:
                if not valid_topic(event.topic):
                    raise self._bad(
                        f"{event.topic[:80]!r} is no topic: dotted words of letters, digits, '_', '-'"
                    )
                topic = topics[event.topic] = event.topic
            if event.sender not in senders:
                raise self._bad(
                    f"from = {event.sender[:80]!r} is neither the server nor a player in the header"
                )
            if event.to not in names:
                raise self._bad(
                    f"to = {event.to[:80]!r} is neither the server, all, nor a player in the header"
                )
            if event.to == event.sender:
                raise self._bad(f"{event.sender} sends to itself")
            if not self._from_s <= time_s < self._until_s:
                continue
            try:
                payload = encode(event.data)
            except (OverflowError, ValueError, RecursionError) as error:
                raise self._bad(f"data cannot be written as MessagePack: {error}") from None
            trace.times_s.append(time_s)
            trace.senders.append(names[event.sender])
            trace.receivers.append(names[event.to])
            trace.topics.append(topic)
            trace.lanes.append(lanes[event.lane])
            trace.payloads.append(payloads.setdefault(payload, payload))

    def _match_name(self) -> str:
        name = self._path.name
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        if not _MATCH.match(name) or len(name) > _MATCH_BYTES:
            raise self._bad(
                f"the file's name becomes the match's: rename it to letters, digits, '_', '.' and '-', "
                f"at most {_MATCH_BYTES} before the ending"
            )
        return name

    def _lines(self) -> Iterator[bytes]:
        try:
            with gzip.open(self._path, "rb") as file:
                for line in file:
                    self._line += 1
                    yield line
        except EOFError:
            self._line += 1
            raise self._bad("the file is cut off here; copy it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            if self._line:
                self._line += 1
                raise self._bad(f"the compressed data is damaged here: {error}") from None
            raise self._bad("is not gzip; a trace is JSON lines compressed with gzip") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CliError(f"{self._path}: cannot be read: {reason}", Exit.NO_INPUT) from None

    def _decode(self, decode: Callable[[bytes], _T], line: bytes) -> _T:
        try:
            return decode(line)
        except msgspec.ValidationError as error:
            raise self._bad(str(error).replace("`", "'")) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(f"is not JSON: {error}") from None

    def _bad(self, problem: str) -> CliError:
        where = f"{self._path}: line {self._line}" if self._line else f"{self._path}"
        return CliError(f"{where}: {problem}", Exit.BAD_DATA)
