"""What an adapter raises to its program."""

from __future__ import annotations


class LanebusError(Exception):
    """The base of everything that an adapter raises on purpose."""


class OutboxFull(LanebusError):
    """`send` found no room: too many bytes are sent and not settled. Nothing was accepted; try again later.

    Attributes:
        held_bytes: what the outbox holds.
        limit_bytes: its limit.
    """

    def __init__(self, name: str, held_bytes: int, limit_bytes: int, why: str = "") -> None:
        full = f"the outbox of {name} holds {held_bytes} of {limit_bytes} bytes"
        super().__init__(why or f"{full}: wait for settlements, or make it larger")
        self.held_bytes = held_bytes
        self.limit_bytes = limit_bytes


class TooLarge(LanebusError):
    """`send` was given a payload past the broker's limit.

    Attributes:
        size_bytes: the encoded payload's size.
        limit_bytes: the limit.
    """

    def __init__(self, topic: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the payload of {topic} has {size_bytes} bytes, at most {limit_bytes} are allowed: split it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class Closed(LanebusError):
    """The adapter or session was closed, or fenced by a newer process of the same name."""


class NotConnected(LanebusError):
    """No broker answered within the time given."""


class HelloRefused(LanebusError):
    """The broker answered the hello with an error.

    Attributes:
        number: its number; see the table in the protocol document.
        detail: its text.
    """

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(f"the broker refused the hello: {detail} (error {number})")
        self.number = number
        self.detail = detail
