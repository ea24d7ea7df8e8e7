"""Health, by numbers: what is a symptom, how grave it is, and what is said of it."""

import pytest

from lanebus.broker.health import (
    BrokerFigures,
    Condition,
    InstanceFigures,
    broker_symptoms,
    condition_of,
    service_symptoms,
    shown,
)
from lanebus.wire.services import ServiceState

MIB = 1 << 20


@pytest.mark.parametrize(
    "figures",
    [
        BrokerFigures(),
        BrokerFigures(still_s=0.5, late_p99_ms=16.0, late_max_ms=500.0),
        BrokerFigures(held_bytes=799, budget_bytes=1000),
        BrokerFigures(parts=100_000, failed_parts=100),
        BrokerFigures(parts=20, failed_parts=9),
        BrokerFigures(resident_bytes=79, memory_bytes=100, large_bytes=80),
        BrokerFigures(resident_bytes=80),
        BrokerFigures(open_files=200, open_files_limit=200),
        BrokerFigures(still_s=2.0, tolerable_still_s=2.0, late_max_ms=2_000.0),
    ],
)
def test_up_to_each_bound_all_is_well(figures: BrokerFigures) -> None:
    assert shown(broker_symptoms(figures)) == {"health": "ok", "reasons": []}


@pytest.mark.parametrize(
    ("figures", "condition", "text"),
    [
        (BrokerFigures(still_s=0.7, late_max_ms=700.0), Condition.FAILING, "its loop stood still: 0.7 s"),
        (
            BrokerFigures(late_max_ms=700.0),
            Condition.DEGRADED,
            "its loop stood still: 0.7 s in the last minute",
        ),
        (
            BrokerFigures(late_p99_ms=16.1),
            Condition.DEGRADED,
            "its loop is late: 16.1 ms (p99 of the last minute)",
        ),
        (
            BrokerFigures(late_p99_ms=501.0),
            Condition.FAILING,
            "its loop is late: 501.0 ms (p99 of the last minute)",
        ),
        (
            BrokerFigures(held_bytes=800, budget_bytes=1000),
            Condition.DEGRADED,
            "its budget is nearly used up and volatile events are dropped: 80% of 1,000 bytes",
        ),
        (
            BrokerFigures(held_bytes=900, budget_bytes=1000),
            Condition.DEGRADED,
            "its budget is nearly used up and newcomers are refused: 90% of 1,000 bytes",
        ),
        (
            BrokerFigures(held_bytes=970, budget_bytes=1000, is_full=True),
            Condition.FAILING,
            "its budget is used up and nothing is accepted: 97% of 1,000 bytes",
        ),
        (
            BrokerFigures(parts=100_000, failed_parts=101),
            Condition.DEGRADED,
            "parts are refused or dropped: 101 of 100,000 in the last minute, 0.10%",
        ),
        (
            BrokerFigures(parts=0, failed_parts=12),
            Condition.DEGRADED,
            "parts are refused or dropped: 12 of 0 in the last minute, all",
        ),
        (
            BrokerFigures(resident_bytes=81 * MIB, large_bytes=80 * MIB, memory_bytes=100 * MIB),
            Condition.DEGRADED,
            "its process takes much memory: 84,934,656 bytes, an alert from 83,886,080 on",
        ),
        (
            BrokerFigures(resident_bytes=96 * MIB, memory_bytes=100 * MIB),
            Condition.FAILING,
            "its memory is nearly used up: 96% of 104,857,600 bytes",
        ),
        (
            BrokerFigures(short_of_files=True, open_files=1_199, open_files_limit=1_200),
            Condition.DEGRADED,
            "its open files are used up: 1,199 of 1,200, connections without a link have to go",
        ),
        (BrokerFigures(is_draining=True), Condition.DEGRADED, "it is draining"),
    ],
)
def test_past_a_bound_it_is_a_symptom(figures: BrokerFigures, condition: Condition, text: str) -> None:
    (symptom,) = broker_symptoms(figures)
    assert (symptom.condition, str(symptom)) == (condition, text)


def test_the_gravest_symptom_comes_first_and_is_the_condition() -> None:
    found = broker_symptoms(BrokerFigures(late_p99_ms=20.0, is_full=True, is_draining=True))
    assert [symptom.condition for symptom in found] == [
        Condition.FAILING,
        Condition.DEGRADED,
        Condition.DEGRADED,
    ]
    assert condition_of(found) is Condition.FAILING
    assert condition_of(found[1:]) is Condition.DEGRADED


def test_a_symptom_keeps_its_name_while_its_figures_change() -> None:
    first, second = (broker_symptoms(BrokerFigures(late_p99_ms=late_ms))[0] for late_ms in (20.0, 30.0))
    assert first.name == second.name
    assert first.figures != second.figures


# Services


def instance(name: str, state: str, reason: str = "") -> InstanceFigures:
    return InstanceFigures(f"server:{name}", ServiceState(state), reason)


@pytest.mark.parametrize(
    ("instances", "health", "reasons"),
    [
        ([instance("a", "ready")], "ok", []),
        ([instance("a", "ready"), instance("b", "starting")], "ok", []),
        (
            [instance("a", "ready"), instance("b", "gone", "its links are lost")],
            "degraded",
            ["1 of 2 instances not well: server:b is gone (its links are lost)"],
        ),
        (
            [instance("a", "degraded", "needs db")],
            "degraded",
            ["1 of 1 instance not well: server:a is degraded (needs db)"],
        ),
        (
            [instance("a", "starting"), instance("b", "gone")],
            "failing",
            ["no instance serves: server:a is starting, server:b is gone"],
        ),
        (
            [instance(str(number), "gone") for number in range(6)],
            "failing",
            [f"no instance serves: {', '.join(f'server:{number} is gone' for number in range(4))}, 2 more"],
        ),
    ],
)
def test_a_service_is_as_well_as_its_instances(
    instances: list[InstanceFigures], health: str, reasons: list[str]
) -> None:
    assert shown(service_symptoms(instances)) == {"health": health, "reasons": reasons}
