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


class WrongThread(LanebusError):
    """An adapter, a gateway's session or a loop was used by another thread than the one that started it.

    Nothing has happened. Hand what other threads have to send to its own thread, by a `queue.Queue` for example, or
    give each thread an adapter of its own.
    """

    def __init__(self, what: str, owner: str, caller: str) -> None:
        super().__init__(
            f"{what} belongs to the thread {owner!r}, and was called by {caller!r}: hand what is to be sent to its "
            "thread (queue.Queue), or give each thread an adapter of its own"
        )


class WrongProcess(LanebusError):
    """An adapter, a gateway's session or a loop was used in a child of the process in which it was made.

    Nothing has happened, and the parent's is as it was. Make adapters after the fork.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was made before this process was forked, and is its parent's: make an adapter under a name of its "
            "own after the fork"
        )


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
