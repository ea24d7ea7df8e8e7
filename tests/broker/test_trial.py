"""Trials: what the ends of processes say of the parts that were under way."""

from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from lanebus.broker.events import Event
from lanebus.broker.trial import FIRST_ROUND, LARGEST_ROUND, MAX_FAILURES, NARROWER, Trial, accept, judge
from lanebus.wire.lanes import LANES


@dataclass(eq=False)
class Part:
    """It stands for an event: nothing here looks into one."""

    deadly: bool = False


def parts(count: int) -> list[Event]:
    return [cast(Event, Part()) for _ in range(count)]


def test_the_first_end_of_a_process_says_nothing_of_several_parts() -> None:
    verdict = judge([parts(2), [], parts(1)], None)
    assert (verdict.most, verdict.failures) == (0, {})
    assert not any(verdict.group)


def test_an_end_in_the_middle_of_a_trial_makes_rounds_narrower_down_to_one() -> None:
    trial = Trial()
    under_way = parts(10 * NARROWER)
    verdict = judge([under_way, [], []], trial)
    assert verdict.most == 10
    assert verdict.group[0] == set(under_way)
    assert judge([parts(NARROWER - 1), parts(1), []], trial).most == 1
    assert verdict.failures == {}


def test_only_a_part_that_was_alone_under_way_has_failed() -> None:
    (part,) = parts(1)
    verdict = judge([[], [part], []], None)
    assert (verdict.most, verdict.failures) == (1, {part: 1})
    trial = Trial()
    accept(trial, verdict, 1, [part])
    assert judge([[], [part], []], trial).failures == {part: 2}
    assert judge([parts(1), [part], []], trial).failures == {part: 1}


def test_an_end_with_nothing_under_way_changes_nothing() -> None:
    trial = Trial()
    group = parts(3)
    accept(trial, judge([group, [], []], trial), 0, group)
    verdict = judge([[], [], []], trial)
    assert (verdict.most, verdict.group[0]) == (1, set(group))


def test_what_is_not_given_to_a_session_is_not_waited_for_there() -> None:
    given, kept = parts(2), parts(2)
    trial = Trial()
    accept(trial, judge([[*given, *kept], [], []], Trial()), 0, given)
    assert trial.group[0] == set(given)
    other = Trial()
    accept(other, judge([kept, [], []], Trial()), 0, given)
    assert other.most == 0


def test_rounds_grow_and_begin_anew_when_a_group_is_settled() -> None:
    trial = Trial()
    assert [trial.next_round(0) for _ in range(3)] == [FIRST_ROUND, 2 * FIRST_ROUND, 4 * FIRST_ROUND]
    for _ in range(20):
        assert trial.next_round(0) <= LARGEST_ROUND
    assert trial.next_round(1) == FIRST_ROUND
    trial.widen()
    assert trial.next_round(0) == FIRST_ROUND


@dataclass
class Life:
    """What one name has to handle, process after process, as the broker gives it; settled as late as may be."""

    left: list[list[Event]]
    """By lane."""
    trial: Trial | None = None
    ends: int = 0
    poison: list[Event] = field(default_factory=list)

    def process_ends(self, under_way: list[list[Event]]) -> None:
        self.ends += 1
        verdict = judge(under_way, self.trial)
        self.trial = Trial()
        for lane in LANES:
            bad = [event for event in self.left[lane] if verdict.failures.get(event, 0) >= MAX_FAILURES]
            self.poison += bad
            self.left[lane] = [event for event in self.left[lane] if event not in bad]
            accept(self.trial, verdict, lane, self.left[lane])

    def round(self) -> list[list[Event]]:
        trial = self.trial
        assert trial is not None
        if not any(trial.group):
            trial.most = 0
        if trial.most:
            left = trial.most
            found: list[list[Event]] = []
            for lane in LANES:
                found.append(self.left[lane][:left] if trial.group[lane] else [])
                left -= len(found[lane])
                trial.group[lane].difference_update(found[lane])
            return found
        return [self.left[lane][: trial.next_round(lane)] for lane in LANES]


@pytest.mark.parametrize("seed", range(20))
def test_every_deadly_part_is_found_within_few_processes_and_nobody_else_is_poison(seed: int) -> None:
    random = Random(seed)
    everything = [parts(random.choice((0, 1, 7, 100, 3000))) for _ in LANES]
    flat = [event for events in everything for event in events]
    deadly = set(random.sample(flat, min(len(flat), random.randrange(4))))
    life = Life([list(events) for events in everything])
    life.process_ends([list(events) for events in everything])
    while any(life.left):
        under_way = life.round()
        assert any(under_way)
        if deadly.isdisjoint(event for events in under_way for event in events):
            life.left = [
                [event for event in events if event not in found]
                for events, found in zip(life.left, map(set, under_way), strict=True)
            ]
        else:
            life.process_ends(under_way)
        # From the largest rounds of all lanes down to one alone, and then the failures of that one.
        assert life.ends <= 1 + len(deadly) * (6 + MAX_FAILURES)
    assert set(life.poison) <= deadly
    assert set(life.poison) == deadly
