"""The demo's last word: what the match has come to, and whether every event is accounted for."""

import io
import json
from typing import Any

import msgspec
import pytest
from tests.cli.demo_samples import audit, gathered, report, status, unit

from lanebus.cli.demo_report import Facts, Result, fault_texts, show
from lanebus.cli.demo_reports import ARENA
from lanebus.cli.output import Format, Out

FAULTS_DONE: list[dict[str, Any]] = [
    {
        "kind": "flood",
        "target": "player:moss",
        "lasted_s": 4.0,
        "recovery_s": 1.4,
        "limit": "events_per_s",
        "events_per_s": 100.0,
        "events_burst": 200,
        "tried_events": 40_000,
        "sent_events": 651,
        "handled_events": 651,
        "accepted_events": 499,
        "allowed_events": 600,
        "most_held_events": 141,
        "longest_wait_ms": 1520.0,
    },
    {
        "kind": "stop",
        "target": "player:rook",
        "lasted_s": 4.0,
        "recovery_s": 0.31,
        "waiting_events": 2311,
    },
    {
        "kind": "kill",
        "target": "broker",
        "lasted_s": 1.4,
        "recovery_s": 0.5,
        "outage_s": 1.9,
        "resent_events": 312,
    },
]

WHY: dict[str, Any] = {
    "name": "player:moss",
    "session": {"role": "client", "via": None, "connected_s": 9.5},
    "verdicts": [{"cause": "throttled", "share": 2.2, "text": "held to events_per_s on normal"}],
    "evidence": {},
    "closed": [],
    "closed_remembered": 0,
}


def summed(
    problems: tuple[str, ...] = (),
    at_rest: bool = True,
    unanswered: int = 0,
    lost: int = 0,
    missing: int = 0,
    repeated: int = 0,
    faults: bool = False,
) -> Result:
    """The result of a match in which each side has sent 100 events on every lane, the server's to two players."""
    gatherer = gathered(1.0, 2.0)
    units = [unit("ivy", 250), unit("rook", 120), unit("moss", 40)]
    both = {"player:ivy": [100, 100, 100], "player:rook": [100, 100, 100]}
    gatherer.add_server(
        3.0,
        report(
            accepted=100,
            delivered=100,
            units=units,
            latencies_ms=[2.0],
            meant=both,
            handled={ARENA: [100, 100, 100]},
        ),
    )
    gatherer.add_bots(
        3.0,
        report(
            accepted=100,
            delivered=100 - lost,
            unsettled={"low x.y: dropped slow_receiver": 1},
            handled={**both, "player:rook": [100, 100, 100 - missing]},
            repeated=repeated,
        ),
    )
    if faults:
        gatherer.is_disturbed = gatherer.is_flooded = True
        assert gatherer.server is not None
        gatherer.add_server(
            3.0,
            msgspec.structs.replace(gatherer.server, latencies=report(latencies_ms=[3.0]).latencies),
        )
        gatherer.add_status(3.0, status(0.5, epoch="e2"))
    return Result.of(
        Facts(
            seconds=30.0,
            seed=7,
            tick_rate=30.0,
            players=3,
            interrupted=False,
            audit=audit(200, 200 - lost, at_rest=at_rest, problems=problems),
            unanswered=unanswered,
            faults=FAULTS_DONE if faults else (),
            outage_s=1.9 if faults else None,
            why=WHY if faults else None,
        ),
        gatherer,
    )


def printed(result: Result, output_format: Format) -> str:
    """What the report looks like."""
    stream = io.StringIO()
    show(result, Out(output_format, stream))
    return stream.getvalue()


def test_a_balanced_report() -> None:
    result = summed()
    assert result.balanced
    assert result.figures["verdict"] == "the books balance: 600 accepted = 600 delivered, 0 in flight"
    text = printed(result, "table")
    assert "ivy with 250 points, 2 kills, 1 death; then rook with 120 and moss with 40" in text
    assert "600 sent, 900 deliveries" in text
    assert "900 deliveries counted at both ends: 0 lost, 0 duplicated\n" in text
    assert "faults" not in text
    assert "not delivered: 1 x low x.y: dropped slow_receiver" in text
    assert text.rstrip().endswith(result.figures["verdict"])


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (summed(problems=("low: 3 parts astray",)), "low: 3 parts astray"),
        (summed(at_rest=False), "the broker did not come to rest"),
        (summed(lost=2), "6 events are still in flight"),
        (summed(unanswered=4), "closing gave up 4 events"),
        (summed(missing=2), "2 deliveries lost"),
        (summed(repeated=1), "1 delivery duplicated or out of order"),
    ],
    ids=["audit", "unrest", "in flight", "unanswered", "lost", "duplicated"],
)
def test_a_report_that_does_not_balance_says_why(result: Result, words: str) -> None:
    assert not result.balanced
    assert words in printed(result, "table")


def test_a_match_that_was_hurt_says_what_was_done_and_what_was_seen() -> None:
    result = summed(faults=True)
    assert result.balanced
    assert result.figures["broker_starts"] == 2
    text = printed(result, "table")
    assert "moss flooded 4.0 s: 40,000 tried, 651 sent, all handled 1.4 s later\n" in text
    assert "499 accepted meanwhile; its limit for all lanes: 600 (200 and 100/s)\n" in text
    assert "up to 141 held back at once, none for longer than 1.5 s\n" in text
    assert "rook stopped (SIGSTOP) 4.0 s: 2,311 events waited, caught up in 310 ms" in text
    assert "broker killed (SIGKILL), back in 1.4 s: 312 events resent, outage 1.9 s" in text
    assert "the last broker, events" in text
    assert "900 deliveries counted at both ends: 0 lost, 0 duplicated, longest outage 1.9 s\n" in text


def test_a_match_with_a_flood_compares_the_others_and_ends_with_why() -> None:
    result = summed(faults=True)
    others = result.figures["others_critical_ms"]
    assert (others["calm"]["events"], others["flood"]["events"]) == (1, 1)
    assert result.figures["why"] == WHY
    text = printed(result, "table")
    without, during = others["calm"]["p99"], others["flood"]["p99"]
    assert f"others' critical p99: {without:.1f} ms without the flood, {during:.1f} ms with it\n" in text
    assert text.endswith(
        "in flight\n\nlanebus why moss, while it flooded:\n"
        "player:moss is throttled: held to events_per_s on normal\n"
        "  client, its session began 9.500 s ago\n"
    )


def test_a_flood_that_was_cut_short_says_what_is_known() -> None:
    flood = FAULTS_DONE[0] | {
        "recovery_s": None,
        "handled_events": 600,
        "accepted_events": None,
        "allowed_events": None,
    }
    nothing = {"p99": None}
    assert fault_texts(flood, {"calm": nothing, "flood": nothing}) == [
        "moss flooded 4.0 s: 40,000 tried, 651 sent, 600 handled",
        "up to 141 held back at once, none for longer than 1.5 s",
    ]


def test_a_flood_of_a_player_without_a_limit_says_so() -> None:
    flood = FAULTS_DONE[0] | {"allowed_events": None, "events_per_s": 0.0}
    assert fault_texts(flood, summed(faults=True).figures["others_critical_ms"])[1] == (
        "499 accepted meanwhile; it has no limit"
    )


def test_the_books_of_a_last_broker_alone_are_not_those_of_the_match() -> None:
    gatherer = gathered(1.0)
    gatherer.add_status(1.5, status(0.5, epoch="e2"))
    gatherer.add_server(2.0, report(accepted=100, delivered=100))
    facts = Facts(
        seconds=1, seed=1, tick_rate=30, players=1, interrupted=False, audit=audit(40, 40), unanswered=0
    )
    assert Result.of(facts, gatherer).balanced


def test_a_broker_that_counts_otherwise_is_a_problem() -> None:
    gatherer = gathered(1.0)
    gatherer.add_server(2.0, report(accepted=100, delivered=100))
    facts = Facts(
        seconds=1, seed=1, tick_rate=30, players=1, interrupted=True, audit=audit(99, 99), unanswered=0
    )
    result = Result.of(facts, gatherer)
    assert result.figures["problems"] == ["the senders have accepted 300 events, the broker 297"]
    assert "(ended early)" in printed(result, "table")


def test_the_json_report_has_raw_figures() -> None:
    figures = json.loads(printed(summed(), "json"))
    assert figures["balanced"] is True
    assert figures["latency_ms"]["critical"]["events"] == 1
    assert figures["latency_ms"]["critical"]["mean"] == pytest.approx(2.0, rel=0.07)
    assert figures["books"]["senders"]["low"]["accepted"] == 200
    assert figures["ranking"][0] == {"name": "ivy", "score": 250, "kills": 2, "deaths": 1}
