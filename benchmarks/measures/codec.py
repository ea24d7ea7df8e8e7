"""Why bodies are written and compressed as they are: two MessagePack libraries, and what a batch may refer to."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import lz4.block
import msgpack
import msgspec

from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread
from benchmarks.rivals.base import TOPIC
from lanebus.wire.batches import UpBatch

SIZES: Final = (4, 64)
"""Events in a batch."""
DICTIONARIES_BYTES: Final = (0, 1024, 2048, 4096)
"""How much of the batches before it a batch may refer to; 0 for each alone."""
LINK_SIZE: Final = 4
"""Events in the batches that are compressed: about what the recorded matches' have."""
BATCHES: Final = 400
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_typed: Final = msgspec.msgpack.Decoder(UpBatch).decode
_decode: Final = msgspec.msgpack.Decoder().decode
_CODECS: Final[dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]] = {
    "msgspec, checked as it is decoded": (_encode, _decode_typed),
    "msgspec, unchecked": (_encode, _decode),
    "msgpack, unchecked": (msgpack.Packer(autoreset=True).pack, msgpack.unpackb),
}


def run(setup: Setup) -> dict[str, Any]:
    """Microseconds an event by library, and what is saved by size of dictionary."""
    rounds = max(setup.rounds, 3)
    codecs: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _CODECS}
    for size in SIZES:
        bodies = _batches(setup.events.data, size)
        written = [_encode(body) for body in bodies]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in _CODECS}
        for _ in range(rounds):
            for name, (encode, decode) in _CODECS.items():
                times[name].append((_us(encode, bodies, size), _us(decode, written, size)))
        for name, found in times.items():
            codecs[name][str(size)] = {
                "encode_us": spread([each[0] for each in found]),
                "decode_us": spread([each[1] for each in found]),
            }
    written = [_encode(body) for body in _batches(setup.events.data, LINK_SIZE)]
    links = {}
    for dictionary_bytes in DICTIONARIES_BYTES:
        runs = [_linked(written, dictionary_bytes) for _ in range(rounds)]
        links[str(dictionary_bytes)] = {
            "saved": runs[0][0],
            "compress_us": spread([each[1] for each in runs]),
            "decompress_us": spread([each[2] for each in runs]),
        }
        setup.say(f"{dictionary_bytes} bytes of dictionary: {runs[0][0]:.1%} saved")
    return {
        "events": setup.events.source,
        "codecs": codecs,
        "link_size": LINK_SIZE,
        "body_bytes": sum(map(len, written)) / len(written),
        "links": links,
    }


def _batches(data: Sequence[Any], size: int) -> list[Any]:
    """Bodies of batches as a sender writes them, of the events in their order."""
    payloads = itertools.cycle([_encode(each) for each in data])
    numbers = itertools.count(1)
    return [
        (
            12,
            3,
            [(0, 1 + number * size)],
            [
                (0, next(numbers), 100_000 + number, TOPIC, "server:receiver", next(payloads))
                for _ in range(size)
            ],
        )
        for number in range(BATCHES)
    ]


def _us(function: Callable[[Any], Any], values: Sequence[Any], size: int) -> float:
    """Microseconds an event."""
    begun_s = time.thread_time()
    for value in values:
        function(value)
    return (time.thread_time() - begun_s) / len(values) / size * 1e6


def _linked(bodies: Sequence[bytes], dictionary_bytes: int) -> tuple[float, float, float]:
    """What is saved of all bodies, and microseconds for each to compress and to decompress it."""
    compress, decompress = lz4.block.compress, lz4.block.decompress
    history = b""
    histories = []
    for body in bodies:
        histories.append(history)
        history = (history + body)[-dictionary_bytes:] if dictionary_bytes else b""
    begun_s = time.thread_time()
    packed = [
        compress(body, store_size=False, dict=history)
        for body, history in zip(bodies, histories, strict=True)
    ]
    between_s = time.thread_time()
    for body, each, history in zip(bodies, packed, histories, strict=True):
        decompress(each, uncompressed_size=len(body), dict=history)
    ended_s = time.thread_time()
    # What does not get smaller travels as it is.
    travels = sum(min(len(each), len(body)) for each, body in zip(packed, bodies, strict=True))
    count = len(bodies)
    return (
        1 - travels / sum(map(len, bodies)),
        (between_s - begun_s) / count * 1e6,
        (ended_s - between_s) / count * 1e6,
    )
