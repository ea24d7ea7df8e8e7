"""One ranked verdict for a player, with its evidence."""

import pytest

from lanebus.broker.verdict import Cause, Evidence, verdicts


@pytest.mark.parametrize(
    ("evidence", "cause", "words"),
    [
        (Evidence(quality="excellent", settled_p99_ms=210.0), Cause.FINE, "excellent, handles within 210 ms"),
        (Evidence(), Cause.FINE, "connection estimating"),
        (Evidence(away_s=3.0, quality="lost"), Cause.AWAY, "no connection for 3.0 s"),
        (Evidence(quality="poor", quality_reason="jitter 130 ms"), Cause.NETWORK, "poor: jitter 130 ms"),
        (Evidence(throttled=[("low", "events_per_s", 0.2)]), Cause.THROTTLED, "events_per_s on low"),
        (Evidence(shaped_bytes=9_000, shaped_age_s=1.5), Cause.SHAPED, "9,000 bytes wait"),
        (Evidence(settled_p99_ms=2_500.0), Cause.HANDLER, "handles within 2,500 ms"),
        (Evidence(oldest_age_s=7.0, held_bytes=5_000), Cause.HANDLER, "oldest unsettled 7.0 s, 5,000 bytes"),
        (Evidence(violations=3), Cause.VIOLATIONS, "3 rules"),
        (Evidence(broker_late_p99_ms=40.0), Cause.BROKER, "40.0 ms late"),
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
    assert Cause.HANDLER not in {verdict.cause for verdict in (*shaped, *away)}


def test_parts_that_were_dropped_are_said_also_when_all_is_well_again() -> None:
    found = verdicts(Evidence(quality="excellent", settled_p99_ms=100.0, dropped=12))
    assert found[0].cause is Cause.FINE
    assert "12 dropped" in found[1].text
