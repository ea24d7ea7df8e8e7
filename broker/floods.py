"""Floods: how much one process may say at all, before and beside the limits of its sessions.

Control messages are never held back, since everything else waits for them: too many of them are violations. A peer that
is sent much has much to answer, so one answer to each batch is free. Raw bytes are counted before anything is read, and
end the links.
"""

from __future__ import annotations

from typing import Final

from lanebus.broker.allowance import Bucket
from lanebus.conf.policy import Policy

MAX_ANSWERS: Final = 1024
"""Answers that a peer may be behind with; it merges them, and is not to save them up."""
ANSWER_BYTES: Final = 64
"""About what it takes to acknowledge a batch, and to settle one event alone in the worst of ways."""
MAX_ANSWER_BYTES: Final = 1 << 20


class Floods:
    """What is left of it; None where there is no limit."""

    __slots__ = ("_answer_bytes", "_answers", "_control_bytes", "_messages", "_raw_bytes", "rates")

    def __init__(self, rates: tuple[tuple[float, float], ...], now: float) -> None:
        """
        Args:
            rates: of control messages, their bytes, and raw bytes: how many a second, and how many seconds' worth at
                once.
        """
        self.rates = rates
        self._answers = self._answer_bytes = 0
        """Answers to batches, and bytes of them, that are free."""
        self._messages, self._control_bytes, self._raw_bytes = (
            Bucket(per_s, per_s * burst_s, now) if per_s else None for per_s, burst_s in rates
        )

    @property
    def control_messages(self) -> tuple[float, float]:
        """How many a second, and at once; zeros without a limit."""
        per_s, burst_s = self.rates[0]
        return per_s, per_s * burst_s

    def takes_raw(self, size_bytes: int, now: float) -> bool:
        """Take the bytes of a frame; False if they are too many."""
        return self._raw_bytes is None or self._raw_bytes.take(size_bytes, now)

    def takes_control(self, size_bytes: int, now: float) -> bool:
        """Take a message that is no batch; False if it is one too many, or its bytes are."""
        fits = self._messages is None or self._messages.take(1.0, now)
        return (self._control_bytes is None or self._control_bytes.take(size_bytes, now)) and fits

    def answerable(self, events: int) -> None:
        """The peer was sent a batch of so many events."""
        self._answers = min(self._answers + 1, MAX_ANSWERS)
        self._answer_bytes = min(self._answer_bytes + ANSWER_BYTES * (1 + events), MAX_ANSWER_BYTES)

    def takes_answer(self, size_bytes: int, now: float) -> bool:
        """Take an acknowledgement or settlement; as `takes_control`, for what is more than an answer to each batch."""
        free_bytes = min(size_bytes, self._answer_bytes)
        self._answer_bytes -= free_bytes
        if not self._answers:
            return self.takes_control(size_bytes - free_bytes, now)
        self._answers -= 1
        size_bytes -= free_bytes
        return not size_bytes or self._control_bytes is None or self._control_bytes.take(size_bytes, now)


def rates_of(floods: Floods | None) -> tuple[tuple[float, float], ...]:
    """What they are limited to; nothing without a limit."""
    return () if floods is None else floods.rates


def floods_of(policy: Policy, now: float) -> Floods | None:
    """What a process of a policy may say; None without any limit."""
    raw_bytes_per_s = policy.raw_bytes_per_s if policy.up_bytes_per_s else 0.0
    rates = (
        (policy.control_messages_per_s, policy.control_burst_s),
        (policy.control_bytes_per_s, policy.control_burst_s),
        (raw_bytes_per_s, policy.raw_burst_s),
    )
    return Floods(rates, now) if any(per_s for per_s, _ in rates) else None
