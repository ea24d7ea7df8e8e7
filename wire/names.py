"""Names: peers, destinations, topics and topic patterns, each with one grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeVar

from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.shown import shown

MAX_TOPIC_BYTES: Final = 128
MAX_NAME_BYTES: Final = 64
MAX_GROUP_BYTES: Final = 128

_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_PATTERN: Final = re.compile(r"(?:(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.\*\*)?|\*\*)\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+\Z")
_GROUP: Final = re.compile(r"[A-Za-z0-9_.:-]+\Z")

V = TypeVar("V")


class Role(StrEnum):
    """What an attachment is."""

    CLIENT = "client"
    """A player: limited, little trusted."""
    SERVER = "server"
    """A game server or a service process."""
    GATEWAY = "gateway"
    """Opens sessions for players whose connections it holds."""


PREFIX: Final[dict[Role, str]] = {Role.CLIENT: "player", Role.SERVER: "server", Role.GATEWAY: "gateway"}
"""The first half of the names that a role may carry."""


class DestinationKind(StrEnum):
    """What a destination names."""

    PLAYER = "player"
    SERVER = "server"
    SERVICE = "service"
    GROUP = "group"
    ALL = "all"


class Destination(NamedTuple):
    """A destination taken apart: ``group:room:7`` is the group ``room:7``."""

    kind: DestinationKind
    name: str


def valid_topic(topic: str) -> bool:
    """Whether `topic` is dotted words of letters, digits, ``_`` and ``-``, at most 128 bytes."""
    return len(topic) <= MAX_TOPIC_BYTES and _TOPIC.match(topic) is not None


def valid_pattern(pattern: str) -> bool:
    """Whether `pattern` is a topic in which ``*`` may stand for one word and a last ``**`` for one or more."""
    return len(pattern) <= MAX_TOPIC_BYTES and _PATTERN.match(pattern) is not None


def valid_peer(name: str, role: Role) -> bool:
    """Whether `name` is a full peer name that `role` may carry, for example ``player:42``."""
    prefix, _, rest = name.partition(":")
    return prefix == PREFIX[role] and len(rest) <= MAX_NAME_BYTES and _NAME.match(rest) is not None


def valid_service(name: str) -> bool:
    """Whether `name` can name a service."""
    return len(name) <= MAX_NAME_BYTES and _NAME.match(name) is not None


def valid_group(name: str) -> bool:
    """Whether `name` can name a group; colons are allowed."""
    return len(name) <= MAX_GROUP_BYTES and _GROUP.match(name) is not None


@lru_cache(maxsize=4096)
def parse_destination(text: str) -> Destination:
    """Take a destination apart.

    Raises:
        ProtocolError: it is none of ``player:``, ``server:``, ``service:``, ``group:`` with a name, or ``all``.
    """
    if text == "all":
        return Destination(DestinationKind.ALL, "")
    prefix, _, name = text.partition(":")
    if prefix == "group":
        if valid_group(name):
            return Destination(DestinationKind.GROUP, name)
    elif prefix in ("player", "server", "service") and valid_service(name):
        return Destination(DestinationKind(prefix), name)
    raise ProtocolError(
        ErrorNumber.BAD_DESTINATION,
        f"{shown(text)} is no destination: use player:NAME, server:NAME, service:NAME, group:NAME or all",
    )


def full_name(name: str, role: Role) -> str:
    """The peer's full name for what a user wrote: ``42`` and ``player:42`` are both ``player:42`` for a client.

    Raises:
        ValueError: the result is not a legal name.
    """
    prefix = PREFIX[role]
    full = name if name.startswith(prefix + ":") else f"{prefix}:{name}"
    if not valid_peer(full, role):
        raise ValueError(
            f"{shown(name)} cannot name a {prefix}: letters, digits, '_', '.' and '-', at most {MAX_NAME_BYTES} bytes"
        )
    return full


def check_pattern(pattern: str) -> None:
    """See that a text is a topic pattern.

    Raises:
        ValueError: it is not.
    """
    if not valid_pattern(pattern):
        raise ValueError(
            f"{shown(pattern)} is no topic pattern: dotted words, '*' for one word, a last '**' for one or more"
        )


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression that matches the topics of `pattern`.

    Raises:
        ValueError: it is not a topic pattern.
    """
    check_pattern(pattern)
    word = r"[^.]+"
    parts = [
        word if part == "*" else rf"{word}(?:\.{word})*" if part == "**" else re.escape(part)
        for part in pattern.split(".")
    ]
    return re.compile(r"\.".join(parts) + r"\Z")


class PatternTable(Generic[V]):
    """Values filed under topic patterns. Lookups are remembered, for at most `cache_topics` topics."""

    def __init__(self, cache_topics: int = 4096) -> None:
        self._entries: list[tuple[str, re.Pattern[str], V]] = []
        self._found: dict[str, tuple[V, ...]] = {}
        self._cache_topics = cache_topics

    def add(self, pattern: str, value: V) -> None:
        """File `value` under `pattern`.

        Raises:
            ValueError: it is not a topic pattern.
        """
        self._entries.append((pattern, compile_pattern(pattern), value))
        self._found.clear()

    def remove(self, value: V) -> None:
        """Take `value` out, wherever it stands."""
        self._entries = [entry for entry in self._entries if entry[2] != value]
        self._found.clear()

    def match(self, topic: str) -> tuple[V, ...]:
        """The values whose patterns match `topic`, in the order they were added, each once."""
        found = self._found.get(topic)
        if found is None:
            if len(self._found) >= self._cache_topics:
                self._found.clear()
            unique: dict[int, V] = {}
            for _, expression, value in self._entries:
                if expression.match(topic):
                    unique.setdefault(id(value), value)
            found = self._found[topic] = tuple(unique.values())
        return found

    def patterns(self) -> Iterator[str]:
        """The patterns in it, in the order they were added."""
        return (pattern for pattern, _, _ in self._entries)

    def __len__(self) -> int:
        return len(self._entries)
