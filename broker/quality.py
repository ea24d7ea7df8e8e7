"""Connection quality: from round trips to a label with a reason."""

from __future__ import annotations

from array import array
from math import sqrt
from typing import Final

from lanebus.conf.model import QualityConfig

RING_SAMPLES: Final = 64
"""Round trips remembered per peer."""


class Quality:
    """What the round trips of one peer say of its line: the worse of round trip and jitter decides."""

    __slots__ = ("_config", "samples_ms")

    def __init__(self, config: QualityConfig) -> None:
        self._config = config
        self.samples_ms = array("d")

    def record(self, rtt_ms: float) -> None:
        """Add one round trip."""
        if len(self.samples_ms) == RING_SAMPLES:
            self.samples_ms.pop(0)
        self.samples_ms.append(rtt_ms)

    @property
    def rtt_ms(self) -> float | None:
        """Mean of the remembered round trips, milliseconds; None before the first."""
        return sum(self.samples_ms) / len(self.samples_ms) if self.samples_ms else None

    @property
    def jitter_ms(self) -> float | None:
        """Standard deviation of the remembered round trips, milliseconds; None before the second."""
        count = len(self.samples_ms)
        if count < 2:
            return None
        mean = sum(self.samples_ms) / count
        return sqrt(sum((sample - mean) ** 2 for sample in self.samples_ms) / (count - 1))

    def label(self) -> tuple[str, str]:
        """The label (``estimating``, ``excellent``, ``good``, ``fair``, ``poor``) and the reason for it."""
        config = self._config
        rtt, jitter = self.rtt_ms, self.jitter_ms
        if rtt is None or jitter is None or len(self.samples_ms) < config.min_samples:
            return "estimating", f"{len(self.samples_ms)} of {config.min_samples} samples"
        for label, rtt_limit, jitter_limit in (
            ("excellent", config.excellent_rtt_ms, config.excellent_jitter_ms),
            ("good", config.good_rtt_ms, config.good_jitter_ms),
            ("fair", config.fair_rtt_ms, config.fair_jitter_ms),
        ):
            if rtt <= rtt_limit and jitter <= jitter_limit:
                return label, f"round trip {rtt:.1f} ms, jitter {jitter:.1f} ms"
        cause = f"round trip {rtt:.0f} ms" if rtt > config.fair_rtt_ms else f"jitter {jitter:.0f} ms"
        return "poor", cause
