"""How the arena's bots decide: whom they fight, where they aim, when they run."""

import math
import random
import statistics

import pytest

from lanebus.examples.arena.brain import AFTER_A_KILL, TEMPERAMENTS, Brain, Seen, Temperament
from lanebus.examples.arena.messages import UnitState
from lanebus.examples.arena.world import HEIGHT_M, SHOT_SPEED_M_S, WIDTH_M

HUNTER, SNIPER, DANCER, RABBIT = TEMPERAMENTS


def brain(temperament: Temperament = HUNTER, seed: int = 1, **units: Seen) -> Brain:
    """A brain called `me` that knows `units`."""
    return Brain("me", temperament, random.Random(seed), dict(units))


def at(x_m: float, y_m: float, health: int = 100, vx_m_s: float = 0.0, vy_m_s: float = 0.0) -> Seen:
    """A unit somewhere."""
    return Seen(x_m, y_m, vx_m_s, vy_m_s, health)


def test_without_knowing_itself_it_does_nothing() -> None:
    intent = brain(foe=at(5, 5)).decide()
    assert (intent.dx, intent.dy, intent.angle) == (0.0, 0.0, None)


def test_dead_it_does_nothing() -> None:
    assert brain(me=at(30, 15, health=0), foe=at(31, 15)).decide().angle is None


def test_alone_it_wanders_and_holds_fire() -> None:
    intent = brain(me=at(10, 10)).decide()
    assert math.hypot(intent.dx, intent.dy) > 0
    assert intent.angle is None


def test_wandering_ends_where_it_wanted_to_go_and_goes_on() -> None:
    mind = brain(me=at(WIDTH_M / 2, HEIGHT_M / 2))
    assert (mind.decide().dx, mind.decide().dx) != (0.0, 0.0)


def test_a_hunter_goes_for_the_nearest_living() -> None:
    mind = brain(me=at(30, 15), near=at(40, 15), far=at(10, 15), dead=at(31, 15, health=0))
    intent = mind.decide()
    assert intent.dx > 0.9
    assert intent.angle is not None
    assert abs(intent.angle) < 0.5


def test_it_does_not_waver_between_two_at_about_the_same_distance() -> None:
    mind = brain(me=at(30, 15), one=at(38, 15), two=at(21.5, 15))
    assert mind.decide().dx > 0
    mind.units["one"].x_m = 39.5
    assert mind.decide().dx > 0


def test_hurt_it_runs_and_still_shoots() -> None:
    intent = brain(RABBIT, me=at(30, 15, health=50), foe=at(36, 15)).decide()
    assert intent.dx < 0
    assert intent.angle is not None


def test_out_of_its_range_it_holds_fire() -> None:
    assert brain(RABBIT, me=at(10, 15), foe=at(25, 15)).decide().angle is None


def test_it_aims_ahead_of_a_moving_target() -> None:
    mind = brain(SNIPER, me=at(20, 15), foe=at(30, 15, vy_m_s=5.0))
    angles = [angle for angle in (mind.decide().angle for _ in range(300)) if angle is not None]
    ahead = math.atan2(5.0 * 10.0 / SHOT_SPEED_M_S, 10.0)
    assert statistics.mean(angles) == pytest.approx(ahead, abs=0.02)
    assert statistics.stdev(angles) == pytest.approx(SNIPER.aim_error_rad, rel=0.2)


@pytest.mark.parametrize("temperament", TEMPERAMENTS, ids=lambda each: each.name)
@pytest.mark.parametrize("x_m", [0.6, 30.0, WIDTH_M - 0.6])
@pytest.mark.parametrize("y_m", [0.6, 15.0, HEIGHT_M - 0.6])
def test_its_direction_is_never_longer_than_full_speed(
    temperament: Temperament, x_m: float, y_m: float
) -> None:
    mind = brain(temperament, me=at(x_m, y_m), foe=at(25, 12))
    for _ in range(20):
        intent = mind.decide()
        assert math.hypot(intent.dx, intent.dy) <= 1.0 + 1e-9


def test_near_a_wall_it_turns_away() -> None:
    mind = brain(me=at(1.0, 15), foe=at(1.0, 19))
    assert mind.decide().dx > 0


def test_remarks_name_the_other_and_come_only_now_and_then() -> None:
    mind = brain(DANCER)
    said = [mind.remark(AFTER_A_KILL, "player:rook") for _ in range(400)]
    lines = [line for line in said if line is not None]
    assert len(lines) / len(said) == pytest.approx(DANCER.talk, abs=0.1)
    assert any("rook" in line for line in lines)
    assert not any("player:" in line or "{" in line for line in lines)


def test_two_of_the_same_seed_decide_the_same() -> None:
    one, two = (brain(DANCER, me=at(30, 15), foe=at(36, 18)) for _ in range(2))
    assert [one.decide() for _ in range(50)] == [two.decide() for _ in range(50)]


def test_seen_is_in_metres() -> None:
    assert Seen.of(UnitState("u", 150, -20, 500, 0, 7)) == Seen(1.5, -0.2, 5.0, 0.0, 7)
