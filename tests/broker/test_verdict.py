"""One ranked verdict for a player, with its evidence."""

import pytest

from lanebus.broker.verdict import Cause, Evidence, Refused, Waits, verdicts


@pytest.mark.parametrize(
    ("evidence", "cause", "words"),
    [
        (
            Evidence(quality="excellent", handled_p99_ms=[("critical", 14.0), ("low", 180.0)]),
            Cause.FINE,
            "excellent, from send to handler critical 14 ms, low 180 ms (p99)",
        ),
        (Evidence(), Cause.FINE, "connection estimating"),
        (Evidence(away_s=3.0, quality="lost"), Cause.AWAY, "no connection for 3.0 s"),
        (
            Evidence(away_s=3.0, quality="lost", lost_reason="it has been silent for 10.2 s"),
            Cause.AWAY,
            "no connection for 3.0 s: it has been silent for 10.2 s",
        ),
        (
            Evidence(away_s=3.0, lost_reason="it has been silent for 10.2 s", machine_answers=True),
            Cause.HANDLER,
            "it has been silent for 10.2 s, though its machine answers: its process stands still",
        ),
        (
            Evidence(away_s=3.0, lost_reason="it has been silent for 10.2 s", machine_answers=False),
            Cause.AWAY,
            "it has been silent for 10.2 s, and its machine does not answer either",
        ),
        (Evidence(silent_s=7.0, quality="lost"), Cause.NETWORK, "or its process stands still"),
        (Evidence(silent_s=7.0, machine_answers=False), Cause.NETWORK, "does not answer either"),
        (
            Evidence(silent_s=7.0, machine_answers=True, held_bytes=1_200, oldest_age_s=7.0),
            Cause.HANDLER,
            "its machine answers: its process stands still; 1,200 bytes wait",
        ),
        (
            Evidence(waits_for=[Waits("server:a", 14, 6.2, False)]),
            Cause.RECEIVER,
            "server:a has not settled 14 of its events, the oldest for 6.2 s",
        ),
        (Evidence(waits_for=[Waits("server:a", 1, 0.1, True)]), Cause.RECEIVER, "server:a is behind"),
        (Evidence(broker_fails=["the budget is used up"]), Cause.BROKER, "the budget is used up"),
        (Evidence(quality="poor", quality_reason="jitter 130 ms"), Cause.NETWORK, "poor: jitter 130 ms"),
        (Evidence(throttled=[("low", "events_per_s", 0.2)]), Cause.THROTTLED, "events_per_s on low"),
        (
            Evidence(refused=[Refused("t", "no_service", "", 3, 2.0)]),
            Cause.REFUSED,
            "3 of its events of t were",
        ),
        (
            Evidence(throttled=[("low", "events_per_s", 0.01)]),
            Cause.THROTTLED,
            "held to events_per_s on low, what is over it waits at its sender",
        ),
        (Evidence(shaped_bytes=9_000, shaped_age_s=1.5), Cause.SHAPED, "9,000 bytes wait"),
        (Evidence(settled_p99_ms=2_500.0), Cause.HANDLER, "settles within 2,500 ms"),
        (Evidence(oldest_age_s=7.0, held_bytes=5_000), Cause.HANDLER, "oldest unsettled 7.0 s, 5,000 bytes"),
        (Evidence(violations=3), Cause.VIOLATIONS, "3 rules"),
        (Evidence(broker_late_p99_ms=40.0), Cause.BROKER, "40.0 ms late"),
        (
            Evidence(broker_late_p99_ms=1.0, broker_late_max_ms=1_900.0),
            Cause.BROKER,
            "stood still for 1.9 s in the last minute",
        ),
    ],
)
def test_each_cause_alone_is_the_verdict(evidence: Evidence, cause: Cause, words: str) -> None:
    first = verdicts(evidence)[0]
    assert first.cause is cause
    assert words in first.text


def test_the_gravest_cause_comes_first_and_the_others_follow() -> None:
    found = verdicts(
        Evidence(
            quality="fair",
            throttled=[("normal", "up_bytes_per_s", 4.0)],
            settled_p99_ms=1_500.0,
        )
    )
    assert [verdict.cause for verdict in found] == [Cause.THROTTLED, Cause.HANDLER, Cause.NETWORK]


def test_what_is_short_of_a_cause_is_said_behind_fine() -> None:
    found = verdicts(Evidence(quality="good", quality_reason="round trip 150 ms", broker_late_p99_ms=8.0))
    assert [verdict.cause for verdict in found] == [Cause.FINE, Cause.BROKER, Cause.NETWORK]


def test_what_waits_for_shaping_or_for_links_is_not_the_handlers_fault() -> None:
    shaped = verdicts(Evidence(shaped_bytes=1, shaped_age_s=3.0, oldest_age_s=9.0))
    away = verdicts(Evidence(away_s=1.0, oldest_age_s=9.0))
    silent = verdicts(Evidence(silent_s=9.0, oldest_age_s=9.0))
    hardly_shaped = verdicts(Evidence(shaped_bytes=1, shaped_age_s=0.1, oldest_age_s=9.0))
    assert hardly_shaped[0].cause is Cause.HANDLER
    assert Cause.HANDLER not in {verdict.cause for verdict in (*shaped, *away, *silent)}


def test_one_cause_of_a_lost_line_is_named_and_not_two() -> None:
    for evidence in (
        Evidence(away_s=1.0, silent_s=12.0, quality="lost"),
        Evidence(silent_s=12.0, quality="lost", quality_reason="silent for 12.0 s"),
    ):
        assert len(verdicts(evidence)) == 1


def test_a_short_silence_is_no_cause_yet() -> None:
    found = verdicts(Evidence(silent_s=3.0, tolerable_silence_s=5.0, quality="good", machine_answers=True))
    assert [(verdict.cause, verdict.share) for verdict in found] == [
        (Cause.FINE, 0.0),
        (Cause.HANDLER, pytest.approx(0.6)),
    ]


def test_receivers_that_take_what_is_usual_are_not_named() -> None:
    assert len(verdicts(Evidence(waits_for=[Waits("server:a", 3, 0.2, False)]))) == 1


def test_parts_that_were_dropped_are_said_also_when_all_is_well_again() -> None:
    found = verdicts(Evidence(quality="excellent", settled_p99_ms=100.0, dropped=12))
    assert found[0].cause is Cause.FINE
    assert found[1].text == "settles within 100 ms (p99), 12 dropped since it came"


def test_a_backlog_says_how_much_waits_beside_the_cause_that_it_waits_for() -> None:
    held = Evidence(throttled=[("low", "events_per_s", 0.2)], at_sender_events=1_234, at_sender_bytes=56_000)
    assert [verdict.cause for verdict in verdicts(held)] == [Cause.THROTTLED, Cause.BACKLOG]
    assert verdicts(held)[1].text == "1,234 events of it, 56,000 bytes, wait at their sender"
