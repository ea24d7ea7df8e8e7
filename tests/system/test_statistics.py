"""Statistics are right: a match is played through a real broker, and every counter compared with the match's own."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.cli.trace_files import write_duel

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.replay_crew import LoneCrew
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Progress
from lanebus.cli.replay_worker import WorkerOptions
from lanebus.cli.traces import ALL, Trace, read_trace
from lanebus.wire.lanes import LANES, Lane

SETTLED_TIMEOUT_S = 10.0

Stream = tuple[str, Lane]


class Expected:
    """What a match says of itself, by name on the bus and lane."""

    def __init__(self, trace: Trace) -> None:
        self.events_in: Counter[Stream] = Counter()
        self.bytes_in: Counter[Stream] = Counter()
        self.events_out: Counter[Stream] = Counter()

        def on_the_bus(name: str) -> str:
            return (
                f"player:{trace.name}.{name.removeprefix('player:')}"
                if ":" in name
                else f"server:{trace.name}"
            )

        for sender, to, topic, lane, payload in zip(
            trace.senders, trace.receivers, trace.topics, trace.lanes, trace.payloads, strict=True
        ):
            stream = on_the_bus(sender), Lane(lane)
            self.events_in[stream] += 1
            self.bytes_in[stream] += len(topic) + len(payload)
            for name in trace.players if to == ALL else [to]:
                self.events_out[on_the_bus(name), Lane(lane)] += 1


def played(path: Path, *, gateway: bool) -> tuple[Trace, list[dict[str, Any]], dict[str, Any]]:
    """A match, the statistics of its sessions, and the broker's status, once everything is settled."""
    trace = read_trace(path)
    plan = Plan([trace])
    with BrokerProcess({"log": {"level": "warning"}}) as broker:
        options = WorkerOptions(
            broker=broker.addresses["critical"], speed=float("inf"), from_s=0.0, gateway=gateway
        )
        crew = LoneCrew(plan, options)
        try:
            crew.connect()
            crew.prepare()
            with ControlClient(broker.addresses["control"], timeout_s=10.0) as client:
                deadline_s = time.monotonic() + SETTLED_TIMEOUT_S

                def is_settled() -> bool:
                    parts = client.request("status")["books"]["parts"]
                    return not any(book["in_flight"] for book in parts.values())

                def over(progress: Progress) -> bool:
                    # The last settlements are on their way when everything is handled.
                    return (progress.done and is_settled()) or time.monotonic() > deadline_s

                crew.play(time.monotonic(), over)
                return trace, client.request("stats"), client.request("status")
        finally:
            crew.finish()


@pytest.mark.parametrize("gateway", [False, True], ids=["links of their own", "behind a gateway"])
def test_every_counter_is_what_the_match_says(tmp_path: Path, gateway: bool) -> None:
    trace, sessions, status = played(write_duel(tmp_path / "duel.jsonl.gz", 400, 0.01), gateway=gateway)
    expected = Expected(trace)
    found = {each["name"]: each["lanes"] for each in sessions}
    for name, lanes in found.items():
        for lane in LANES:
            stream = name, lane
            sent, got = lanes[lane.label]["in"], lanes[lane.label]["out"]
            assert (sent["events"], sent["bytes"]) == (
                expected.events_in[stream],
                expected.bytes_in[stream],
            ), stream
            assert got["events"] == expected.events_out[stream], stream
            assert sent["ended"]["accepted"] == sent["ended"]["delivered"] == sent["events"], stream
            assert sent["reasons"] == {}
            assert (got["resent"], got["dropped"], got["expired"], got["superseded"]) == (0, 0, 0, 0), stream
            assert (sent["resent"], got["queued_events"], got["unsettled_events"]) == (0, 0, 0), stream
            assert (got["held_bytes"], got["oldest_age_s"], got["paused_senders"]) == (0, 0.0, 0), stream
            assert not any(got["retry"].values()), stream
            assert (got["settled_ms"]["p99"] is None) is (got["events"] == 0), stream
    assert {name for name, _ in expected.events_in | expected.events_out} <= found.keys()
    for lane in LANES:
        totals = status["lanes"][lane.label]
        parts = sum(count for (_, on), count in expected.events_out.items() if on is lane)
        # A match that is played as fast as it goes is over its players' limits: what was throttled came again.
        of_all = [lanes[lane.label]["in"] for lanes in found.values()]
        assert totals["in"]["events"] == sum(sent["events"] + sent["throttled"] for sent in of_all)
        assert totals["throttled_events"] == sum(sent["throttled"] for sent in of_all)
        # What several players behind a gateway get travels once.
        assert totals["out"]["events"] == parts or (gateway and totals["out"]["events"] < parts)
        for way in ("in", "out"):
            batches = sum(lanes[lane.label][way]["batches"] for lanes in found.values())
            assert batches == totals[way]["batches"] or (gateway and batches > totals[way]["batches"])
        assert status["books"]["parts"][lane.label]["accepted"] == parts
    assert status["uptime_s"] > 0.0
    assert status["cpu_s"] > 0.0
    assert status["rss_bytes"] > 0
    assert status["loop"]["turns"] > 0
    assert status["loop"]["busy_ms"]["p99"] is not None
