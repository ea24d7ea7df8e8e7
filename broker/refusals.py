"""Refusals: which topics were refused, why, of whom and by whom; counted for those who ask what goes wrong."""

from __future__ import annotations

from typing import Any, Final

from lanebus.wire.outcomes import Reason

LATELY_S: Final = 60.0
"""What was refused within so long is refused still, as far as anybody can tell."""
NAMES_REMEMBERED: Final = 1024
"""Senders, and receivers, that are remembered; past it those of whom nothing was refused for the longest time go."""
ROWS_PER_NAME: Final = 16
"""Topics, reasons and others that are told apart for one name; all further ones are one row."""
OTHER_TOPICS: Final = "(other topics)"
"""Those further ones; no topic is called so."""
UNNOTED: Final = Reason.RECEIVER_GONE
"""The reason that comes with every end of a session, and says nothing of a topic."""


class Refusal:
    """What was refused of one topic between two."""

    __slots__ = ("count", "last", "reason", "receiver", "sender", "topic")

    def __init__(self, sender: str, receiver: str, topic: str, reason: Reason) -> None:
        self.sender = sender
        self.receiver = receiver
        """Who was to get it, or what the sender wrote; empty where the broker was to choose."""
        self.topic = topic
        self.reason = reason
        self.count = 0
        self.last = 0.0

    def as_dict(self, now: float) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "topic": self.topic,
            "reason": self.reason.value,
            "sender": self.sender,
            "receiver": self.receiver,
            "count": self.count,
            "last_ago_s": now - self.last,
        }


_Rows = dict[tuple[str, str, Reason], Refusal]
"""By topic, the other side's name, and reason; those refused last at the end."""


class Refusals:
    """What was refused since the broker's start, by sender and by receiver."""

    def __init__(self) -> None:
        self._by_sender: dict[str, _Rows] = {}
        self._by_receiver: dict[str, _Rows] = {}

    def note(self, sender: str, receiver: str, topic: str, reason: Reason, now: float) -> None:
        """An event, or one receiver's part of it, was refused."""
        for table, name, other in (
            (self._by_sender, sender, receiver),
            (self._by_receiver, receiver, sender),
        ):
            if not name:
                continue
            rows = table.pop(name, {})
            table[name] = rows
            while len(table) > NAMES_REMEMBERED:
                del table[next(iter(table))]
            key = (topic, other, reason)
            refusal = rows.pop(key, None)
            if refusal is None and len(rows) >= ROWS_PER_NAME:
                key = (OTHER_TOPICS, "", reason)
                refusal = rows.pop(key, None)
            if refusal is None:
                named = key[0] == topic
                refusal = Refusal(
                    sender if named or table is self._by_sender else "",
                    receiver if named or table is self._by_receiver else "",
                    key[0],
                    reason,
                )
            rows[key] = refusal
            refusal.count += 1
            refusal.last = now

    def of_sender(self, name: str) -> list[Refusal]:
        """What was refused of a sender, the latest first."""
        return list(reversed(self._by_sender.get(name, {}).values()))

    def by_receiver(self, name: str) -> list[Refusal]:
        """What was refused by, or instead of, a receiver, the latest first."""
        return list(reversed(self._by_receiver.get(name, {}).values()))

    def lately(self, most: int, now: float) -> list[Refusal]:
        """What was refused within the last minute, of whomever: of as many senders and topics, the latest first."""
        found: list[Refusal] = []
        for rows in reversed(self._by_sender.values()):
            fresh = [each for each in reversed(rows.values()) if now - each.last <= LATELY_S]
            if not fresh or len(found) >= most:
                break
            found.extend(fresh)
        return found[:most]
