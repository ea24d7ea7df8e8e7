"""Connection quality: the worse of round trip and jitter decides, once there are enough samples."""

import pytest

from lanebus.broker.quality import RING_SAMPLES, Quality
from lanebus.conf.model import QualityConfig

CONFIG = QualityConfig(min_samples=4)


def of(*samples_ms: float) -> Quality:
    quality = Quality(CONFIG)
    for sample in samples_ms:
        quality.record(sample)
    return quality


def test_without_samples_there_are_no_figures() -> None:
    quality = of()
    assert quality.rtt_ms is None
    assert quality.jitter_ms is None
    assert quality.label() == ("estimating", "0 of 4 samples")


def test_jitter_needs_two_samples() -> None:
    quality = of(10.0)
    assert quality.rtt_ms == 10.0
    assert quality.jitter_ms is None


def test_too_few_samples_are_an_estimate() -> None:
    assert of(10.0, 10.0, 10.0).label() == ("estimating", "3 of 4 samples")


@pytest.mark.parametrize(
    ("samples_ms", "label", "reason"),
    [
        ((50.0,) * 4, "excellent", "round trip 50.0 ms, jitter 0.0 ms"),
        ((100.0,) * 4, "excellent", "round trip 100.0 ms, jitter 0.0 ms"),
        ((150.0,) * 4, "good", "round trip 150.0 ms, jitter 0.0 ms"),
        ((300.0,) * 4, "fair", "round trip 300.0 ms, jitter 0.0 ms"),
        ((500.0,) * 4, "poor", "round trip 500 ms"),
        ((10.0, 60.0, 10.0, 60.0), "good", "round trip 35.0 ms, jitter 28.9 ms"),
        ((10.0, 150.0, 10.0, 150.0), "fair", "round trip 80.0 ms, jitter 80.8 ms"),
        ((10.0, 400.0, 10.0, 400.0), "poor", "jitter 225 ms"),
    ],
)
def test_the_worse_of_round_trip_and_jitter_decides_and_is_the_reason(
    samples_ms: tuple[float, ...], label: str, reason: str
) -> None:
    assert of(*samples_ms).label() == (label, reason)


def test_only_the_latest_samples_count() -> None:
    quality = of(*(900.0,) * RING_SAMPLES, *(20.0,) * RING_SAMPLES)
    assert len(quality.samples_ms) == RING_SAMPLES
    assert quality.rtt_ms == 20.0
    assert quality.label()[0] == "excellent"
