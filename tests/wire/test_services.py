"""What is said of services: bounds that hold, and messages that fit into a frame."""

import pytest

from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Limits, Services, decode_message
from lanebus.wire.services import (
    ENTRIES,
    MAX_REASON_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_VERSION_CHARACTERS,
    Instance,
    ServiceState,
)

REGISTER = {"request": 1, "service": "combat", "topics": []}


@pytest.mark.parametrize(
    "field",
    [
        {"weight": 0},
        {"weight": 1001},
        {"priority": 1001},
        {"priority": -1001},
        {"tags": ["x" * (MAX_TAG_CHARACTERS + 1)]},
        {"tags": [""]},
        {"tags": ["x"] * (MAX_TAGS + 1)},
        {"version": "x" * (MAX_VERSION_CHARACTERS + 1)},
        {"depends_on": ["x"] * 17},
        {"health": "gone"},
        {"reason": "x" * (MAX_REASON_CHARACTERS + 1)},
    ],
    ids=str,
)
def test_a_field_out_of_its_range_is_a_bad_body(field: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_message(Kind.REGISTER, Lane.CRITICAL, encode_body(REGISTER | field))
    assert caught.value.number is ErrorNumber.BAD_BODY


def test_the_largest_message_fits_into_a_frame() -> None:
    widest = "\U0001f600"
    largest = Instance(
        "s" * 64,
        "server:" + "n" * 64,
        ServiceState.DEGRADED,
        widest * MAX_REASON_CHARACTERS,
        widest * MAX_VERSION_CHARACTERS,
        -1000,
        1000,
        [widest * MAX_TAG_CHARACTERS] * MAX_TAGS,
    )
    body = encode_body(Services(entries=[largest] * ENTRIES))
    assert len(body) < Limits().frame_bytes
    assert decode_message(Kind.SERVICES, Lane.CRITICAL, body).entries == [largest] * ENTRIES
