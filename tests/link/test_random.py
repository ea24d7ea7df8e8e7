"""Anything may happen, at any time: what a bus promises holds all the same."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.link.program import MOST, Step, carry_out, names, random_program
from tests.link.settings import STRICT
from tests.link.world import World

SEEDS = range(20)
STEPS = 500
LITTLE_ROOM = 6_000
"""Bytes that may wait for a receiver; a few events, and their senders are told to pause."""

argument = st.integers(0, MOST - 1)


def programs(*, within_grace: bool) -> st.SearchStrategy[list[Step]]:
    step = st.builds(
        Step, st.sampled_from(names(within_grace=within_grace)), argument, argument, argument, argument
    )
    return st.lists(step, max_size=60)


thorough = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@thorough
@given(seed=st.integers(0, 1 << 16), program=programs(within_grace=True))
def test_within_the_grace_period_all_arrives_once_and_in_order(seed: int, program: list[Step]) -> None:
    carry_out(World(seed, within_grace=True), program)


@thorough
@given(seed=st.integers(0, 1 << 16), program=programs(within_grace=False))
def test_past_the_grace_period_all_is_settled_and_nothing_is_handled_twice(
    seed: int, program: list[Step]
) -> None:
    carry_out(World(seed, within_grace=False), program)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_of_outages_loses_nothing(seed: int) -> None:
    carry_out(World(seed, within_grace=True), random_program(Random(seed), STEPS, within_grace=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_with_full_queues_loses_nothing_but_parts_of_groups(seed: int) -> None:
    world = World(seed, within_grace=True, queue_bytes=LITTLE_ROOM)
    carry_out(world, random_program(Random(seed), STEPS, within_grace=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_of_deaths_leaves_nothing_unsettled(seed: int) -> None:
    carry_out(World(seed, within_grace=False), random_program(Random(seed), STEPS, within_grace=False))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_over_all_limits_loses_nothing(seed: int) -> None:
    world = World(seed, within_grace=True, policy=STRICT)
    carry_out(world, random_program(Random(seed), STEPS, within_grace=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_of_deaths_over_all_limits_leaves_nothing_unsettled(seed: int) -> None:
    world = World(seed, within_grace=False, policy=STRICT)
    carry_out(world, random_program(Random(seed), STEPS, within_grace=False))
