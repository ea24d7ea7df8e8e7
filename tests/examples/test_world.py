"""The arena's world: walking, shooting, dying and coming back, the same for the same seed."""

import itertools
import math

import pytest

from lanebus.examples.arena import world as rules
from lanebus.examples.arena.messages import Died, Hit, Shot, Spawned
from lanebus.examples.arena.world import UnitBody, World


def duel(distance_m: float = 5.0) -> tuple[World, UnitBody, UnitBody]:
    """A world in which two units stand `distance_m` apart, the second to the right of the first."""
    world = World(seed=1)
    left, right = world.join("player:left"), world.join("player:right")
    left.x_m, left.y_m = 10.0, 15.0
    right.x_m, right.y_m = 10.0 + distance_m, 15.0
    world.step()
    return world, left, right


def steps(world: World, count: int) -> list[Hit | Died | Spawned | Shot]:
    """What `count` steps bring about."""
    return [happening for _ in range(count) for happening in world.step()]


def test_a_newcomer_stands_inside_with_full_health_and_is_announced_by_the_next_step() -> None:
    world = World(seed=3)
    unit = world.join("player:ivy")
    assert 0 < unit.x_m < rules.WIDTH_M
    assert 0 < unit.y_m < rules.HEIGHT_M
    assert unit.health == rules.FULL_HEALTH
    assert world.step() == [Spawned("player:ivy", round(unit.x_m * 100), round(unit.y_m * 100))]
    assert world.step() == []


def test_joining_twice_gives_the_same_unit() -> None:
    world = World()
    assert world.join("player:ivy") is world.join("player:ivy")
    assert len(world.units) == 1


def test_a_second_of_walking_covers_the_speed() -> None:
    world, left, _ = duel()
    world.move("player:left", 0.0, 1.0)
    steps(world, rules.TICKS_PER_S)
    assert left.y_m == pytest.approx(15.0 + rules.UNIT_SPEED_M_S)
    assert left.x_m == pytest.approx(10.0)


def test_a_longer_vector_is_not_a_faster_walk() -> None:
    world, left, _ = duel()
    world.move("player:left", 3.0, 4.0)
    assert math.hypot(left.vx_m_s, left.vy_m_s) == pytest.approx(rules.UNIT_SPEED_M_S)


def test_half_a_vector_is_half_the_speed() -> None:
    world, left, _ = duel()
    world.move("player:left", 0.5, 0.0)
    assert left.vx_m_s == pytest.approx(rules.UNIT_SPEED_M_S / 2)


def test_walls_hold() -> None:
    world, left, _ = duel()
    world.move("player:left", -1.0, -1.0)
    steps(world, 20 * rules.TICKS_PER_S)
    assert left.x_m == rules.UNIT_RADIUS_M
    assert left.y_m == rules.UNIT_RADIUS_M


def test_a_shot_at_somebody_hits_after_its_flight() -> None:
    world, _, right = duel(distance_m=6.0)
    assert world.shoot("player:left", 0.0)
    flight_ticks = round(6.0 / rules.SHOT_SPEED_M_S * rules.TICKS_PER_S)
    early = steps(world, flight_ticks - 2)
    assert [type(happening) for happening in early] == [Shot]
    late = steps(world, 4)
    assert late == [Hit("player:left", "player:right", rules.FULL_HEALTH - right.health, right.health)]
    assert rules.SHOT_DAMAGE[0] <= rules.FULL_HEALTH - right.health <= rules.SHOT_DAMAGE[1]
    assert not world.shots


def test_a_shot_the_other_way_hits_nobody_and_ends() -> None:
    world, _, right = duel()
    world.shoot("player:left", math.pi)
    assert [type(happening) for happening in steps(world, 2 * rules.TICKS_PER_S)] == [Shot]
    assert right.health == rules.FULL_HEALTH
    assert not world.shots


def test_a_shot_ends_at_its_range() -> None:
    world, _, right = duel(distance_m=rules.SHOT_RANGE_M + 2.0)
    world.shoot("player:left", 0.0)
    steps(world, 2 * rules.TICKS_PER_S)
    assert right.health == rules.FULL_HEALTH


def test_a_shot_takes_the_nearer_of_two_in_a_line() -> None:
    world, _, right = duel(distance_m=4.0)
    behind = world.join("player:behind")
    behind.x_m, behind.y_m = right.x_m + 0.3, right.y_m
    world.shoot("player:left", 0.0)
    steps(world, rules.TICKS_PER_S)
    assert right.health < rules.FULL_HEALTH
    assert behind.health == rules.FULL_HEALTH


def test_the_edge_of_a_unit_counts_between_two_ticks_too() -> None:
    world, _, right = duel(distance_m=5.2)
    right.y_m += rules.UNIT_RADIUS_M * 0.98
    world.shoot("player:left", 0.0)
    steps(world, rules.TICKS_PER_S)
    assert right.health < rules.FULL_HEALTH


def test_loading_takes_its_time() -> None:
    world, _, _ = duel()
    assert world.shoot("player:left", 1.0)
    assert not world.shoot("player:left", 1.0)
    steps(world, rules.RELOAD_TICKS - 1)
    assert not world.shoot("player:left", 1.0)
    steps(world, 1)
    assert world.shoot("player:left", 1.0)


def kill(world: World) -> list[Hit | Died | Spawned | Shot]:
    """Let the left one shoot at the right one until that is dead; returns what happened."""
    happened: list[Hit | Died | Spawned | Shot] = []
    while not any(isinstance(happening, Died) for happening in happened):
        world.shoot("player:left", 0.0)
        happened += world.step()
    return happened


def test_death_is_told_after_the_last_hit_and_scores() -> None:
    world, left, right = duel()
    happened = kill(world)
    hits = [happening for happening in happened if isinstance(happening, Hit)]
    assert sum(hit.damage for hit in hits) == rules.FULL_HEALTH
    assert hits[-1].health == 0
    assert happened[-1] == Died("player:right", "player:left", 3.0)
    assert not right.alive
    assert (left.score, left.kills, right.deaths) == (rules.FULL_HEALTH + rules.KILL_POINTS, 1, 1)


def test_the_dead_neither_walk_nor_shoot_nor_get_hit() -> None:
    world, _, right = duel()
    kill(world)
    place = (right.x_m, right.y_m)
    world.move("player:right", 1.0, 0.0)
    assert not world.shoot("player:right", 0.0)
    world.shoot("player:left", 0.0)
    assert not [happening for happening in steps(world, 30) if isinstance(happening, Hit)]
    assert (right.x_m, right.y_m) == place


def test_the_dead_come_back_after_three_seconds() -> None:
    world, _, right = duel()
    kill(world)
    assert steps(world, rules.RESPAWN_TICKS - 1) == []
    back = steps(world, 1)
    assert [type(happening) for happening in back] == [Spawned]
    assert right.health == rules.FULL_HEALTH


def test_shots_of_one_who_left_still_hit_and_score_for_nobody() -> None:
    world, _, right = duel()
    world.shoot("player:left", 0.0)
    world.leave("player:left")
    steps(world, 10)
    assert right.health < rules.FULL_HEALTH
    assert world.points() == {"player:right": 0}


@pytest.mark.parametrize("name", ["player:nobody", "player:left"])
def test_calls_for_units_that_are_not_there_do_nothing(name: str) -> None:
    world, _, _ = duel()
    world.leave("player:left")
    world.leave(name)
    world.move(name, 1.0, 0.0)
    assert not world.shoot(name, 0.0)


def test_a_unit_that_stands_still_is_not_reported_again() -> None:
    world, left, right = duel()
    reported = [unit for _ in range(5) for unit in (world.step(), world.changed())[1]]
    assert sorted(unit.name for unit in reported) == [left.name, right.name]


def test_a_moving_unit_is_reported_every_third_tick() -> None:
    world, left, _ = duel()
    world.move("player:left", 0.0, 0.2)
    ticks = []
    for _ in range(30):
        world.step()
        if left in world.changed():
            ticks.append(world.tick)
    assert len(ticks) == 10
    assert {later - earlier for earlier, later in itertools.pairwise(ticks)} == {rules.STATE_TICKS}


def test_state_is_in_whole_centimetres() -> None:
    unit = UnitBody("player:ivy", x_m=1.234, y_m=5.678, vx_m_s=-5.0, vy_m_s=0.004, health=42)
    state = unit.state()
    assert (state.x_cm, state.y_cm, state.vx_cm_s, state.vy_cm_s, state.health) == (123, 568, -500, 0, 42)


def test_points_rank_the_best_first() -> None:
    world, left, right = duel()
    left.score, right.score = 10, 20
    assert list(world.points().items()) == [("player:right", 20), ("player:left", 10)]


def history(seed: int) -> list[object]:
    """Everything that happens in a scripted fight."""
    world = World(seed)
    for index in range(6):
        world.join(f"player:{index}")
    happened: list[object] = []
    for tick in range(600):
        for index in range(6):
            world.move(f"player:{index}", math.cos(tick / 9 + index), math.sin(tick / 7 - index))
            world.shoot(f"player:{index}", tick / 5 + index)
        happened += world.step()
    happened += [unit.state() for unit in world.units.values()]
    return happened


def test_the_same_seed_gives_the_same_world() -> None:
    assert history(7) == history(7)


def test_another_seed_gives_another_world() -> None:
    assert history(7) != history(8)
