"""The table of legal messages: total, and true to what each side may do."""

import pytest

from lanebus.wire.kinds import LEGAL, REQUESTS, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane

SIDES = list(Side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", LinkState)
@pytest.mark.parametrize("lane", LANES)
def test_every_side_state_and_lane_has_an_entry(side: Side, state: LinkState, lane: Lane) -> None:
    assert LEGAL[side][state][lane] <= set(Kind)


def test_kinds_are_numbered_from_1_in_their_order() -> None:
    numbers = [kind.value for kind in Kind]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1


@pytest.mark.parametrize("kind", Kind)
def test_a_label_is_the_name_in_small_letters(kind: Kind) -> None:
    assert kind.label == kind.name.lower()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_may_be_sent_by_somebody_once_a_link_is_ready_or_opens_it(kind: Kind) -> None:
    states = (LinkState.NEW, LinkState.READY)
    assert any(kind in LEGAL[side][state][lane] for side in SIDES for state in states for lane in LANES)


@pytest.mark.parametrize("lane", LANES)
def test_a_new_link_carries_a_greeting_or_an_error(lane: Lane) -> None:
    assert LEGAL[Side.PEER][LinkState.NEW][lane] == {Kind.HELLO, Kind.ERROR}
    assert LEGAL[Side.BROKER][LinkState.NEW][lane] == {Kind.WELCOME, Kind.ERROR}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("lane", LANES)
def test_greetings_are_not_repeated_on_a_ready_link(side: Side, lane: Lane) -> None:
    assert not LEGAL[side][LinkState.READY][lane] & {Kind.HELLO, Kind.WELCOME}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("lane", LANES)
def test_nothing_is_legal_on_a_closed_link(side: Side, lane: Lane) -> None:
    assert LEGAL[side][LinkState.CLOSED][lane] == frozenset()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("lane", [Lane.NORMAL, Lane.LOW])
def test_the_other_lanes_carry_batches_and_errors_only(side: Side, lane: Lane) -> None:
    assert LEGAL[side][LinkState.READY][lane] == {Kind.BATCH, Kind.ERROR}


def test_requests_are_the_peers_and_their_answer_is_the_brokers() -> None:
    critical = {side: LEGAL[side][LinkState.READY][Lane.CRITICAL] for side in SIDES}
    assert critical[Side.PEER] >= REQUESTS
    assert not critical[Side.BROKER] & REQUESTS
    assert Kind.DONE in critical[Side.BROKER] - critical[Side.PEER]
    assert Kind.PING in critical[Side.PEER] - critical[Side.BROKER]
    assert Kind.PONG in critical[Side.BROKER] - critical[Side.PEER]
