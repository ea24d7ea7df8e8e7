"""What adapters raise: one family, with figures and texts that say what to do."""

import pytest

from lanebus.adapters.errors import Closed, HelloRefused, LanebusError, NotConnected, OutboxFull, TooLarge


@pytest.mark.parametrize("kind", [OutboxFull, TooLarge, Closed, NotConnected, HelloRefused])
def test_everything_an_adapter_raises_on_purpose_is_of_one_family(kind: type[Exception]) -> None:
    assert issubclass(kind, LanebusError)
    assert not issubclass(kind, OSError | ConnectionError)


def test_a_full_outbox_says_whose_it_is_and_how_full() -> None:
    error = OutboxFull("server:a", 900, 1000)
    assert (error.held_bytes, error.limit_bytes) == (900, 1000)
    assert "server:a" in str(error)
    assert "900 of 1000 bytes" in str(error)


def test_a_payload_past_the_limit_says_which_and_by_how_much() -> None:
    error = TooLarge("unit.state", 300_000, 262_144)
    assert (error.size_bytes, error.limit_bytes) == (300_000, 262_144)
    assert str(error) == "the payload of unit.state has 300000 bytes, at most 262144 are allowed: split it"


def test_a_refused_hello_carries_the_brokers_number_and_text() -> None:
    error = HelloRefused(304, "10000 attachments, the limit")
    assert (error.number, error.detail) == (304, "10000 attachments, the limit")
    assert "error 304" in str(error)
