"""The broker as a service: well while its loop is on time and its budget is not used up."""

import pytest

from lanebus.broker.budget import Budget
from lanebus.broker.bus import LATE_S, Bus
from lanebus.broker.services import Services
from lanebus.wire.services import ServiceState


@pytest.fixture
def services() -> Services:
    return Services("bus-1")


@pytest.fixture
def budget() -> Budget:
    return Budget(1000)


@pytest.fixture
def bus(services: Services, budget: Budget) -> Bus:
    return Bus(services, budget, 100.0, 1.0)


def state(services: Services) -> tuple[ServiceState, str]:
    return services.bus.state, services.bus.reason


def test_a_loop_that_is_late_is_degraded_until_it_is_on_time(bus: Bus, services: Services) -> None:
    bus.look(101.0)
    assert state(services) == (ServiceState.READY, "")
    bus.look(102.0 + LATE_S + 0.2)
    assert state(services) == (ServiceState.DEGRADED, "its loop was 0.7 s late")
    bus.look(103.0 + LATE_S + 0.3)
    assert state(services) == (ServiceState.READY, "")


def test_a_used_up_budget_is_degraded_until_there_is_room(
    bus: Bus, services: Services, budget: Budget
) -> None:
    budget.held_bytes = 1000
    bus.look(101.0)
    assert state(services) == (ServiceState.DEGRADED, "its budget of 1000 bytes is used up")
    budget.held_bytes = 0
    bus.look(102.0)
    assert state(services) == (ServiceState.READY, "")


def test_it_says_its_version(bus: Bus, services: Services) -> None:
    bus.say_version("1.2")
    assert services.bus.entry().version == "1.2"
