"""Violations: what breaking rules costs a name, who is held back for it, and that nobody is ended for one mistake."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.attachment import Attachment
from lanebus.broker.policies import Policies
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.broker.throttling import throttled
from lanebus.broker.violations import (
    COSTS,
    LATELY_S,
    MOMENT_S,
    NAMES_REMEMBERED,
    Violation,
    Violations,
    violation_of,
)
from lanebus.conf.model import QualityConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Throttled
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

REFUSED = (Outcome.REFUSED, Reason.NOT_ALLOWED)


def make_violations(config: PolicyConfig | None = None) -> Violations:
    config = config or PolicyConfig()
    return Violations(config, Policies(config))


def a_peer(name: str = "player:1", role: Role = Role.CLIENT) -> Attachment:
    attachment = Attachment(name, role, b"p" * 16, b"t" * 16, 0.0)
    attachment.sessions[0] = Session(attachment, 0, name, role, b"p" * 16, 7, Quality(QualityConfig()), 0.0)
    return attachment


def commit(violations: Violations, who: Attachment, kind: Violation, times: int, now: float) -> float:
    """Break a rule again and again, a moment apart; when the last one was."""
    for _ in range(times):
        now += MOMENT_S + 0.001
        violations.by_attachment(who, kind, now)
    return now


def throttles(peer: Peer) -> list[Throttled]:
    return [entry for kind, message in peer.messages if kind is Kind.THROTTLE for entry in message.entries]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (ErrorNumber.SHORT_FRAME, Violation.MALFORMED),
        (ErrorNumber.WRONG_LANE, Violation.MALFORMED),
        (ErrorNumber.NOT_LEGAL_HERE, Violation.OUT_OF_PLACE),
        (ErrorNumber.BAD_ACK, Violation.OUT_OF_PLACE),
        (ErrorNumber.FLOOD, Violation.FLOOD),
        (ErrorNumber.FENCED, None),
        (ErrorNumber.BUSY, None),
        (ErrorNumber.BAD_TOPIC, Violation.BAD_TOPIC),
        (ErrorNumber.BAD_DESTINATION, Violation.BAD_DESTINATION),
        (ErrorNumber.EVENT_TOO_LARGE, Violation.TOO_LARGE),
        (ErrorNumber.NOT_ALLOWED, Violation.OUT_OF_PLACE),
        (ErrorNumber.TOO_MANY_VIOLATIONS, None),
        (ErrorNumber.UNKNOWN_PEER, None),
    ],
)
def test_an_error_is_a_violation_of_its_kind_or_none(number: ErrorNumber, kind: Violation | None) -> None:
    assert violation_of(number) is kind


def test_every_kind_costs_something_and_none_more_than_half_a_budget() -> None:
    assert set(COSTS) == set(Violation)
    assert all(0 < cost <= PolicyConfig().error_budget / 2 for cost in COSTS.values())


def test_the_budget_is_used_up_and_fills_again() -> None:
    violations, who = make_violations(), a_peer()
    violations.by_attachment(who, Violation.MALFORMED, 1.0)
    assert violations.used_share("player:1", 1.0) == 0.5
    assert violations.used_share("player:1", 2.0) == 0.25
    assert violations.used_share("player:1", 9.0) == 0.0
    assert violations.used_share("player:2", 1.0) == 0.0


def test_what_comes_in_a_moment_is_one_mistake() -> None:
    violations, who = make_violations(), a_peer()
    for _ in range(5_000):
        violations.by_attachment(who, Violation.NOT_ALLOWED, 1.0)
    assert violations.used_share("player:1", 1.0) == 0.5
    assert violations.counts("player:1") == {"not_allowed": 5_000}
    assert not violations.spent
    violations.by_attachment(who, Violation.NOT_ALLOWED, 1.0 + MOMENT_S)
    assert violations.used_share("player:1", 1.0 + MOMENT_S) == pytest.approx(0.5)


def test_past_the_budget_it_may_send_nothing_until_half_of_it_is_there_again() -> None:
    violations, who = make_violations(), a_peer()
    session = who.sessions[0]
    now = commit(violations, who, Violation.MALFORMED, 2, 0.0)
    assert session.limits is None
    now = commit(violations, who, Violation.MALFORMED, 1, now)
    over = throttled(session, Lane.LOW, now)
    assert over is not None
    assert over.limit == "error_budget"
    used = violations.used_share("player:1", now)
    assert used > 1.0
    assert over.wait_s == pytest.approx((used - 0.5) * 200 / 50)
    assert throttled(session, Lane.LOW, now + over.wait_s + 0.01) is None
    assert violations.used_share("player:1", now + over.wait_s) == pytest.approx(0.5)
    assert not violations.spent


def test_three_times_over_it_is_to_be_ended_once_and_its_name_cools_down() -> None:
    violations, who = make_violations(), a_peer()
    now = commit(violations, who, Violation.MALFORMED, 6, 0.0)
    assert not violations.spent
    assert violations.cools_s("player:1", now) == 0.0
    now = commit(violations, who, Violation.MALFORMED, 2, now)
    assert list(violations.spent) == [who]
    assert violations.cools_s("player:1", now) > 29.0
    assert set(violations.cooling(now)) == {"player:1"}
    violations.spent.clear()
    # What still comes from it changes nothing.
    commit(violations, who, Violation.MALFORMED, 9, now)
    assert not violations.spent
    assert violations.cools_s("player:1", now + 30.0) == 0.0
    assert violations.used_share("player:1", now + 30.0) == 0.0
    assert violations.why("player:1") == "17 malformed"


def test_without_a_budget_they_are_counted_and_cost_nothing() -> None:
    violations, who = make_violations(PolicyConfig(error_budget=0)), a_peer()
    commit(violations, who, Violation.FLOOD, 50, 0.0)
    assert violations.counts("player:1") == {"flood": 50}
    assert violations.totals == {Violation.FLOOD: 50}
    assert violations.used_share("player:1", 1.0) == 0.0
    assert not violations.spent
    assert who.sessions[0].limits is None


def test_lately_is_the_last_half_minute_to_a_minute() -> None:
    violations, who = make_violations(), a_peer()
    assert violations.lately("player:1", 0.0) == 0
    commit(violations, who, Violation.NOT_ALLOWED, 3, 0.0)
    assert violations.lately("player:1", 10.0) == 3
    commit(violations, who, Violation.NOT_ALLOWED, 2, LATELY_S + 5.0)
    assert violations.lately("player:1", LATELY_S + 10.0) == 5
    assert violations.lately("player:1", 2 * LATELY_S + 10.0) == 2
    assert violations.lately("player:1", 3 * LATELY_S + 10.0) == 0
    commit(violations, who, Violation.NOT_ALLOWED, 1, 9 * LATELY_S)
    assert violations.lately("player:1", 9 * LATELY_S + 1.0) == 1


def test_the_kinds_are_named_with_the_most_frequent_first() -> None:
    violations, who = make_violations(), a_peer()
    commit(violations, who, Violation.BAD_TOPIC, 1, 0.0)
    commit(violations, who, Violation.CONTROL, 4, 1.0)
    assert violations.why("player:1") == "4 control, 1 bad_topic"


def test_names_whose_budget_is_full_again_are_forgotten_first() -> None:
    violations = make_violations()
    bad = a_peer("player:bad")
    now = commit(violations, bad, Violation.MALFORMED, 9, 0.0)
    for number in range(NAMES_REMEMBERED - 1):
        violations.by_attachment(a_peer(f"player:{number}"), Violation.CONTROL, now)
    now += 5.0
    violations.by_attachment(a_peer("player:new"), Violation.CONTROL, now)
    assert violations.counts("player:new") == {"control": 1}
    assert violations.counts("player:0") == {}
    assert violations.cools_s("player:bad", now) > 0.0


def test_of_names_that_all_owe_something_the_oldest_half_is_forgotten() -> None:
    violations = make_violations()
    for number in range(NAMES_REMEMBERED):
        violations.by_attachment(a_peer(f"player:{number}"), Violation.FLOOD, 1.0)
    violations.by_attachment(a_peer("player:new"), Violation.FLOOD, 1.0)
    assert violations.counts("player:0") == {}
    assert violations.counts(f"player:{NAMES_REMEMBERED - 1}") == {"flood": 1}
    assert violations.counts("player:new") == {"flood": 1}


def test_a_crowd_of_small_offenders_sets_no_name_free_that_is_refused() -> None:
    violations = make_violations()
    now = commit(violations, a_peer("player:bad"), Violation.MALFORMED, 9, 0.0)
    for number in range(2 * NAMES_REMEMBERED):
        violations.by_attachment(a_peer(f"player:{number}"), Violation.FLOOD, now)
    assert violations.cools_s("player:bad", now) > 0.0


# Through the core


def test_a_player_that_sends_what_it_may_not_is_held_back_on_all_lanes_and_loses_nothing() -> None:
    bench = Bench(small_config(policy=PolicyConfig(client=Policy(events_per_s=1000.0, events_burst=4000))))
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    player = Peer(bench, "player:1").attach()
    forbidden: list[int] = []
    for _ in range(3):
        bench.advance(0.12)
        events = [player.event("t", "player:2") for _ in range(40)]
        forbidden.extend(event.number for event in events)
        player.send_batch(events)
    bench.advance(0.3)
    ended = [number for number in forbidden if player.end_of(number) == REFUSED]
    assert 80 < len(ended) < len(forbidden)
    # It is told with the first event that is not accepted, on whatever lane.
    honest = {lane: player.send("t", None, lane) for lane in (Lane.NORMAL, Lane.LOW)}
    bench.advance(0.3)
    assert [(entry.lane, entry.limit) for entry in throttles(player)] == [
        (Lane.CRITICAL, "error_budget"),
        (Lane.NORMAL, "error_budget"),
        (Lane.LOW, "error_budget"),
    ]
    assert server.topics() == []
    wait_s = max(entry.retry_after_ms for entry in throttles(player)) / 1e3
    assert 2.0 < wait_s < 5.0
    for _ in range(int(wait_s) + 1):
        bench.advance(1.0)
        server.ping()
        player.ping()
    for lane in LANES:
        player.send_batch(list(player.sender(lane).unsettled.values()), lane)
    bench.advance(0.5)
    assert server.numbers(Lane.NORMAL) == [honest[Lane.NORMAL]]
    assert server.numbers(Lane.LOW) == [honest[Lane.LOW]]
    server.settle_all()
    bench.advance(0.5)
    assert not player.sender(Lane.NORMAL).unsettled
    assert player.up
    assert bench.problems() == []


def test_a_server_without_limits_is_held_back_too(bench: Bench) -> None:
    server, other = Peer(bench, "server:a").attach(), Peer(bench, "server:b").attach()
    for _ in range(3):
        server.put(b"garbage")
        bench.advance(0.11)
        server.attach()
    number = server.send("t", "server:b")
    bench.advance(0.2)
    (entry,) = throttles(server)
    assert (entry.number, entry.limit, entry.events_per_s) == (number, "error_budget", 0.0)
    assert other.numbers() == []
    bench.advance(entry.retry_after_ms / 1e3)
    server.send_batch(list(server.sender(Lane.CRITICAL).unsettled.values()))
    bench.advance(0.2)
    assert other.numbers() == [number]
    assert bench.problems() == []


def test_one_mistake_of_any_kind_costs_nobody_its_links_for_longer_than_a_moment(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    player.put(b"garbage")
    bench.turn()
    player.attach()
    assert player.up
    player.send("no topic!", None)
    bench.turn()
    assert player.up
    assert player.errors == [ErrorNumber.SHORT_FRAME]
    assert bench.core.violations.counts("player:1") == {"malformed": 1, "bad_topic": 1}
    assert throttled(bench.session("player:1"), Lane.LOW, bench.now) is None


def test_too_much_control_is_carried_out_all_the_same_and_counted(bench: Bench) -> None:
    config = PolicyConfig(client=Policy(control_messages_per_s=10.0, control_burst_s=1.0))
    bench = Bench(small_config(policy=config))
    player = Peer(bench, "player:1").attach()
    for _ in range(60):
        player.ping()
    bench.turn()
    assert player.kinds().count(Kind.PONG) == 60
    assert bench.core.violations.counts("player:1") == {"control": 50}
    assert player.up


def test_too_many_raw_bytes_end_the_links(bench: Bench) -> None:
    config = PolicyConfig(client=Policy(up_bytes_per_s=1e6, raw_bytes_per_s=1000.0, raw_burst_s=2.0))
    bench = Bench(small_config(policy=config))
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    for _ in range(3):
        server.send("t", "server:a", payload=bytes(1000))
    for _ in range(3):
        player.send("t", "server:a", payload=bytes(1000))
        player.ping()
    bench.turn()
    # lz4 makes little of a thousand zeros: what counts is what travels.
    assert player.errors == []
    for number in range(100):
        player.send("t", "server:a", payload=number.to_bytes(2, "big") * 4)
    bench.turn()
    assert player.errors == [ErrorNumber.FLOOD]
    assert bench.core.violations.counts("player:1") == {"flood": 1}
    assert server.up
