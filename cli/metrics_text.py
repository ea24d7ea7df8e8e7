"""The metrics of a broker as text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lanebus.cli.metrics_table import FAMILIES, Answer, Family
from lanebus.wire.histogram import Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

EXPONENTS: Final = tuple(range(6, 22))
"""Bounds of histograms are powers of two microseconds, 64 us to 2.1 s: of those the broker's buckets know the counts
exactly, of round figures they would not."""


def exposition(answer: Answer) -> str:
    """All metrics in the text format of Prometheus."""
    return "".join(f"{line}\n" for family in FAMILIES for line in _lines(family, answer))


def up(value: int) -> str:
    """The metric that a server of metrics adds: whether the broker has answered."""
    return (
        f"# HELP lanebus_up Whether the broker has answered.\n# TYPE lanebus_up gauge\nlanebus_up {value}\n"
    )


def _lines(family: Family, answer: Answer) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for values, figure in family.samples(answer):
        labels = list(zip(family.labels, values, strict=True))
        if family.kind == "histogram":
            yield from _histogram(family.name, labels, figure)
        else:
            yield f"{family.name}{_labels(labels)} {_number(figure)}"


def _histogram(name: str, labels: list[tuple[str, str]], figures: Sequence[int]) -> Iterator[str]:
    histogram = Histogram.from_list(figures)
    for exponent, count in zip(EXPONENTS, histogram.below_powers(EXPONENTS), strict=True):
        yield f"{name}_bucket{_labels([*labels, ('le', _number(2**exponent / 1e6))])} {count}"
    yield f"{name}_bucket{_labels([*labels, ('le', '+Inf')])} {histogram.count}"
    yield f"{name}_sum{_labels(labels)} {_number(histogram.sum_us / 1e6)}"
    yield f"{name}_count{_labels(labels)} {histogram.count}"


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
