"""What events say: recorded matches where there are some, and else made-up ones of the same sizes."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from lanebus.cli.exits import CliError
from lanebus.cli.traces import Trace, read_trace

SMALL_BYTES: Final = 1024
"""Larger payloads are whole maps at a match's start: 158 of the 492,777 recorded events."""
MATCHES: Final = 4
PLAYERS: Final = 8
DURATION_S: Final = 150.0
UP_PER_S: Final = 3.6
"""Events that a player sends in a second, as in the recorded matches."""
DOWN_PER_S: Final = 50.0
"""Events that a server sends all of its players in a second."""
_MEDIAN_BYTES: Final = 48
_P90_BYTES: Final = 225
_LANES: Final = {"critical": 0.45, "normal": 0.35, "low": 0.20}
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Events:
    """Payloads of small events."""

    data: list[Any]
    source: str
    """Where they are from, for the report."""

    def mean_bytes(self) -> float:
        """Mean size of a payload as MessagePack."""
        encode = msgspec.msgpack.Encoder().encode
        return sum(len(encode(each)) for each in self.data) / len(self.data)


def small_events(paths: Sequence[Path], *, recorded: bool, most: int = 4000) -> Events:
    """Every so many a small event of all matches.

    Raises:
        CliError: a trace cannot be read.
    """
    decode = msgspec.msgpack.Decoder().decode
    found: list[bytes] = []
    for path in paths:
        trace = read_trace(path)
        payloads = [payload for payload in trace.payloads if len(payload) <= SMALL_BYTES]
        step = max(1, len(payloads) * len(paths) // most)
        found += payloads[::step]
    kind = "recorded" if recorded else "made-up"
    return Events(
        [decode(each) for each in found], f"{len(found):,} small events of {len(paths)} {kind} matches"
    )


def make_up(folder: Path, random: Random | None = None) -> list[Path]:
    """Write made-up matches: rates, lanes and sizes of the recorded ones. Their content is not; it compresses alike."""
    random = random or Random(17)
    paths = []
    for number in range(MATCHES):
        path = folder / f"made-up-{number + 1}.jsonl.gz"
        events = sorted(_match(random), key=lambda event: event["t"])
        write_trace(path, events, DURATION_S, [f"player:{index}" for index in range(PLAYERS)])
        paths.append(path)
    return paths


def write_trace(path: Path, events: Sequence[dict[str, Any]], duration_s: float, players: list[str]) -> None:
    """Write a match in the format that `lanebus replay` reads."""
    header = {
        "format": "game-trace/1",
        "duration_s": duration_s,
        "players": players,
        "events": len(events),
        "game": "benchmark",
    }
    with gzip.open(path, "wb", compresslevel=1) as file:
        for line in (header, *events):
            file.write(_json.encode(line) + b"\n")


def payload(random: Random, size_bytes: int) -> dict[str, Any]:
    """What a game would say in about `size_bytes` of MessagePack."""
    data: dict[str, Any] = {"unit": random.randrange(2000), "x": round(random.uniform(0, 200), 2)}
    left = size_bytes - 20
    if left > 12:
        data["y"] = round(random.uniform(0, 200), 2)
        left -= 11
    if left > 12:
        data["state"] = random.choice(("moving", "idle", "attack", "dead"))
        left -= 12
    if left > 12:
        data["attrs"] = [random.choice((0, 1, 255, 4096, 0.5, 0.25)) for _ in range(round((left - 7) / 4.17))]
    return data


def _match(random: Random) -> Iterator[dict[str, Any]]:
    names, weights = list(_LANES), list(_LANES.values())
    scale = math.log(_P90_BYTES / _MEDIAN_BYTES) / 1.2816
    for index in range(PLAYERS + 1):
        sender = f"player:{index}" if index < PLAYERS else "server"
        rate = UP_PER_S if index < PLAYERS else DOWN_PER_S
        now_s = random.expovariate(rate)
        while now_s < DURATION_S:
            lane = random.choices(names, weights)[0]
            # Half of all sizes lie below 48 bytes and a tenth above 225; the recorded ones end near 330.
            size = min(330, int(_MEDIAN_BYTES * math.exp(random.gauss(0.0, scale))))
            yield {
                "t": round(now_s, 4),
                "from": sender,
                "to": "all" if sender == "server" else "server",
                "topic": "unit.state" if sender == "server" else "cmd.target",
                "lane": lane,
                "data": payload(random, size),
            }
            now_s += random.expovariate(rate)


def copies(paths: Sequence[Path], players: int, length_s: float, folder: Path) -> tuple[list[Path], int]:
    """Write slices of matches, again and again, until there are `players`; each copy begins at another moment.

    Returns:
        The files, and how many players they have.

    Raises:
        CliError: a trace cannot be read, or none is as long as a slice.
    """
    traces = [trace for trace in map(read_trace, paths) if trace.duration_s > length_s + 15.0]
    if not traces:
        raise CliError(f"none of these matches is longer than {length_s + 15.0:g} s")
    written: list[Path] = []
    count = 0
    while count < players:
        copy, number = divmod(len(written), len(traces))
        trace = traces[number]
        room = trace.duration_s - length_s - 15.0
        from_s = 15.0 + (copy * 11.0) % max(room, 1.0)
        path = folder / f"c{len(written)}.jsonl.gz"
        _write_slice(path, trace, from_s, length_s)
        written.append(path)
        count += len(trace.players)
    return written, count


def _write_slice(path: Path, trace: Trace, from_s: float, length_s: float) -> None:
    decode = msgspec.msgpack.Decoder().decode
    lanes = ("critical", "normal", "low")
    known = {"server", "all", *trace.players}
    events = []
    for index, time_s in enumerate(trace.times_s):
        if not from_s <= time_s < from_s + length_s:
            continue
        sender, to = trace.senders[index], trace.receivers[index]
        if sender not in known or to not in known:
            continue
        events.append(
            {
                "t": round(time_s - from_s, 4),
                "from": sender,
                "to": to,
                "topic": trace.topics[index],
                "lane": lanes[trace.lanes[index]],
                "data": decode(trace.payloads[index]),
            }
        )
    write_trace(path, events, length_s, list(trace.players))
