"""Health: how well the broker is, and each service, in degrees with reasons. Pure: figures in, symptoms out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

from lanebus.broker.budget import REFUSE_SHARE, SHED_SHARE
from lanebus.broker.verdict import TOLERABLE_LATE_MS
from lanebus.wire.services import ServiceState

ERROR_SHARE: Final = 0.001
"""Share of the parts that may be refused or dropped."""
MIN_FAILED: Final = 10
"""Parts that must have been, before their share says anything: the first of ten is no tenth."""
MEMORY_FULL_SHARE: Final = 0.95
"""Share of the memory that the process may take; above it there is nothing left to grow."""
LOOP_LATE: Final = "its loop is late"
"""The name of that symptom."""
LOOP_STILL: Final = "its loop stood still"
_MOST_NAMED: Final = 4
"""Instances that a service's symptom names."""
_MOST_ALERTS: Final = 3
"""Alerts that are named; `lanebus alerts` has all."""


class Condition(StrEnum):
    """How well something is, the best first."""

    OK = "ok"
    DEGRADED = "degraded"
    """It does its work, and not as it should."""
    FAILING = "failing"
    """It does not do its work, or not for everybody."""


class Symptom(NamedTuple):
    """One thing that is not as it should be."""

    condition: Condition
    name: str
    """The thing, in words that stay the same while it lasts."""
    figures: str
    """How much, in words that go on after the name."""

    def __str__(self) -> str:
        return f"{self.name}: {self.figures}" if self.figures else self.name


class BrokerFigures(NamedTuple):
    """What is known of the broker; None is what nobody has measured."""

    still_s: float = 0.0
    """How much later than planned its last look at itself was."""
    tolerable_still_s: float = 0.5
    """A loop that comes so much later than planned does not do its work."""
    late_p99_ms: float | None = None
    """How late its loop was lately."""
    late_max_ms: float | None = None
    held_bytes: int = 0
    budget_bytes: int = 1
    is_full: bool = False
    """Whether nothing is accepted, because the budget is used up."""
    parts: int = 0
    """Accepted lately."""
    failed_parts: int = 0
    """Refused and dropped lately."""
    resident_bytes: int | None = None
    memory_bytes: int | None = None
    """What the process may take."""
    large_bytes: int | None = None
    """From how much on it takes much."""
    short_of_files: bool = False
    """Whether connections had to be ended lately, so that others could be made."""
    open_files: int = 0
    open_files_limit: int | None = None
    is_draining: bool = False
    alerts: tuple[str, ...] = ()
    """What lasts that an operator was told of, of peers: kind and name."""


def condition_of(symptoms: Iterable[Symptom]) -> Condition:
    """The worst of them; ok without any."""
    conditions = [*Condition]
    return max((symptom.condition for symptom in symptoms), key=conditions.index, default=Condition.OK)


def shown(symptoms: list[Symptom]) -> dict[str, Any]:
    """A condition and its reasons, with plain values."""
    return {"health": condition_of(symptoms).value, "reasons": [str(symptom) for symptom in symptoms]}


def broker_symptoms(figures: BrokerFigures) -> list[Symptom]:
    """What is wrong with the broker, the gravest first."""
    found: list[Symptom] = []

    def note(condition: Condition, name: str, text: str = "") -> None:
        found.append(Symptom(condition, name, text))

    tolerable_still_ms = figures.tolerable_still_s * 1e3
    if figures.still_s > figures.tolerable_still_s:
        note(Condition.FAILING, LOOP_STILL, f"{figures.still_s:.1f} s")
    elif figures.late_max_ms is not None and figures.late_max_ms > tolerable_still_ms:
        note(Condition.DEGRADED, LOOP_STILL, f"{figures.late_max_ms / 1e3:.1f} s in the last minute")
    late_ms = figures.late_p99_ms
    if late_ms is not None and late_ms > TOLERABLE_LATE_MS:
        is_still = late_ms > tolerable_still_ms
        note(
            Condition.FAILING if is_still else Condition.DEGRADED,
            LOOP_LATE,
            f"{late_ms:.1f} ms (p99 of the last minute)",
        )
    _note_budget(figures, found)
    if figures.failed_parts >= MIN_FAILED and figures.failed_parts > ERROR_SHARE * figures.parts:
        share = f"{figures.failed_parts / figures.parts:.2%}" if figures.parts else "all"
        note(
            Condition.DEGRADED,
            "parts are refused or dropped",
            f"{figures.failed_parts:,} of {figures.parts:,} in the last minute, {share}",
        )
    _note_memory(figures, found)
    if figures.short_of_files:
        text = f"{figures.open_files:,} of {figures.open_files_limit or 0:,}, connections without a link have to go"
        note(Condition.DEGRADED, "its open files are used up", text)
    if figures.is_draining:
        note(Condition.DEGRADED, "it is draining")
    if figures.alerts:
        named = ", ".join(figures.alerts[:_MOST_ALERTS])
        more = len(figures.alerts) - _MOST_ALERTS
        note(Condition.DEGRADED, "alerts last", f"{named} and {more} more" if more > 0 else named)
    return sorted(found, key=lambda symptom: symptom.condition is not Condition.FAILING)


def _note_budget(figures: BrokerFigures, found: list[Symptom]) -> None:
    share = figures.held_bytes / figures.budget_bytes
    text = f"{share:.0%} of {figures.budget_bytes:,} bytes"
    if figures.is_full:
        symptom = Symptom(Condition.FAILING, "its budget is used up and nothing is accepted", text)
    elif share >= REFUSE_SHARE:
        symptom = Symptom(Condition.DEGRADED, "its budget is nearly used up and newcomers are refused", text)
    elif share >= SHED_SHARE:
        symptom = Symptom(
            Condition.DEGRADED, "its budget is nearly used up and volatile events are dropped", text
        )
    else:
        return
    found.append(symptom)


def _note_memory(figures: BrokerFigures, found: list[Symptom]) -> None:
    resident_bytes, may_take_bytes = figures.resident_bytes or 0, figures.memory_bytes
    if may_take_bytes and resident_bytes > MEMORY_FULL_SHARE * may_take_bytes:
        text = f"{resident_bytes / may_take_bytes:.0%} of {may_take_bytes:,} bytes"
        found.append(Symptom(Condition.FAILING, "its memory is nearly used up", text))
    elif figures.large_bytes and resident_bytes >= figures.large_bytes:
        text = f"{resident_bytes:,} bytes, an alert from {figures.large_bytes:,} on"
        found.append(Symptom(Condition.DEGRADED, "its process takes much memory", text))


class InstanceFigures(NamedTuple):
    """One instance of a service."""

    name: str
    state: ServiceState
    reason: str


def service_symptoms(instances: list[InstanceFigures]) -> list[Symptom]:
    """What is wrong with a service: failing without an instance that serves, degraded with one that is not well.

    Instances that are starting beside others that serve are no symptom: they make the service larger.
    """
    serving = [each for each in instances if each.state in (ServiceState.READY, ServiceState.DEGRADED)]
    if not serving:
        return [Symptom(Condition.FAILING, "no instance serves", _named(instances))]
    unwell = [each for each in instances if each.state in (ServiceState.DEGRADED, ServiceState.GONE)]
    if not unwell:
        return []
    name = f"{len(unwell)} of {len(instances)} {'instance' if len(instances) == 1 else 'instances'} not well"
    return [Symptom(Condition.DEGRADED, name, _named(unwell))]


def _named(instances: list[InstanceFigures]) -> str:
    named = [
        f"{each.name} is {each.state.value}{f' ({each.reason})' if each.reason else ''}"
        for each in instances[:_MOST_NAMED]
    ]
    if len(instances) > _MOST_NAMED:
        named.append(f"{len(instances) - _MOST_NAMED} more")
    return ", ".join(named)
