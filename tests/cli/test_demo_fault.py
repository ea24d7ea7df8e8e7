"""One fault of the demo, step by step: how far it is, and how long each step took."""

from lanebus.cli.demo_fault import Fault, State


def test_a_fault_that_is_coming_has_lasted_for_no_time_that_is_known() -> None:
    fault = Fault(at_s=3.0)
    assert (fault.state, fault.lasted_s, fault.recovery_s) == (State.COMING, None, None)


def test_a_fault_goes_through_its_states() -> None:
    fault = Fault(at_s=3.0)
    fault.began_s = 103.0
    assert (fault.state, fault.lasted_s, fault.recovery_s) == (State.ACTIVE, None, None)
    fault.ended_s = 107.0
    assert (fault.state, fault.lasted_s, fault.recovery_s) == (State.RECOVERING, 4.0, None)
    fault.over_s = 107.5
    assert (fault.state, fault.lasted_s, fault.recovery_s) == (State.OVER, 4.0, 0.5)
