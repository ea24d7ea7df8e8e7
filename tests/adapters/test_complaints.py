"""When an adapter gives up: at an error that nothing mends, or at the same one again and again."""

import pytest

from lanebus.adapters.complaints import ERROR_MEMORY_S, MAX_SAME_ERRORS, Complaints
from lanebus.wire.errors import ErrorNumber


@pytest.mark.parametrize("number", [ErrorNumber.FENCED, ErrorNumber.BAD_NAME, ErrorNumber.NO_COMMON_VERSION])
def test_what_trying_again_cannot_mend_is_final_at_once(number: ErrorNumber) -> None:
    assert Complaints().is_final(number, 1.0)


def test_any_other_error_is_final_when_it_comes_again_and_again() -> None:
    complaints = Complaints()
    ends = [complaints.is_final(ErrorNumber.BAD_BODY, float(second)) for second in range(MAX_SAME_ERRORS)]
    assert ends == [False] * (MAX_SAME_ERRORS - 1) + [True]


def test_errors_far_apart_and_different_ones_do_not_add_up() -> None:
    complaints = Complaints()
    for second in range(50):
        assert not complaints.is_final(ErrorNumber.BAD_BODY, second * (ERROR_MEMORY_S + 1.0))
    for _ in range(MAX_SAME_ERRORS - 1):
        assert not complaints.is_final(ErrorNumber.BAD_TOPIC, 0.0)
        assert not complaints.is_final(ErrorNumber.BAD_ACK, 0.0)


@pytest.mark.parametrize(
    "number",
    [ErrorNumber.NO_SESSION, ErrorNumber.DRAINING, ErrorNumber.BUSY, ErrorNumber.COOLING_DOWN],
)
def test_what_a_later_hello_cures_is_never_final(number: ErrorNumber) -> None:
    complaints = Complaints()
    assert not any(complaints.is_final(number, 0.0) for _ in range(100))
