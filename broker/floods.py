"""Floods: how much one process may say at all, before and beside the limits of its sessions.

Control messages are never held back, since everything else waits for them: too many of them are violations. Raw bytes
are counted before anything is read, and end the links.
"""

from __future__ import annotations

from lanebus.broker.allowance import Bucket
from lanebus.conf.policy import Policy


class Floods:
    """What is left of it; None where there is no limit."""

    __slots__ = ("_control_bytes", "_messages", "_raw_bytes", "rates")

    def __init__(self, rates: tuple[tuple[float, float], ...], now: float) -> None:
        """
        Args:
            rates: of control messages, their bytes, and raw bytes: how many a second, and how many seconds' worth at
                once.
        """
        self.rates = rates
        self._messages, self._control_bytes, self._raw_bytes = (
            Bucket(per_s, per_s * burst_s, now) if per_s else None for per_s, burst_s in rates
        )

    def takes_raw(self, size_bytes: int, now: float) -> bool:
        """Take the bytes of a frame; False if they are too many."""
        return self._raw_bytes is None or self._raw_bytes.take(size_bytes, now)

    def takes_control(self, size_bytes: int, now: float) -> bool:
        """Take a message that is no batch; False if it is one too many, or its bytes are."""
        fits = self._messages is None or self._messages.take(1.0, now)
        return (self._control_bytes is None or self._control_bytes.take(size_bytes, now)) and fits


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
