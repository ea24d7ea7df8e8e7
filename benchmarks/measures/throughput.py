"""How many events a second one Python sender gets to one Python receiver: each a send call and a handler call."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.lab.load import Flow
from benchmarks.lab.pair import IN_FLIGHT, Outcome, run_pair
from benchmarks.lab.processes import Failed
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import ratios, spread
from benchmarks.rivals.all import rivals
from benchmarks.rivals.bare import BareBatches
from benchmarks.rivals.base import Rival

WARM_UP_EVENTS: Final = 20_000
MOST_EVENTS: Final = 2_000_000


def run(setup: Setup) -> dict[str, Any]:
    """Figures of all rivals, in alternating runs."""
    present, missing = [], {}
    for rival in rivals():
        why = rival.missing()
        if why:
            missing[rival.title] = why
        else:
            present.append(rival)
    counts = {}
    for rival in list(present):
        events = WARM_UP_EVENTS
        try:
            # Twice: of a short run, much is the wait for the last confirmations.
            for _ in range(2):
                warm = once(rival, setup, events)
                events = min(MOST_EVENTS, max(WARM_UP_EVENTS, int(warm.per_s * setup.run_s)))
        except Failed as failed:
            missing[rival.title] = str(failed)
            present.remove(rival)
            continue
        counts[rival.name] = events
        setup.say(f"{rival.title}: {counts[rival.name]:,} events a run")
    runs: dict[str, list[Outcome]] = {rival.name: [] for rival in present}
    for number in range(setup.rounds):
        # Ours first, because it says how large the batches of bare sockets are to be; the others take turns.
        others = present[1:]
        turn = number % max(1, len(others))
        for rival in [present[0], *others[turn:], *others[:turn]]:
            if isinstance(rival, BareBatches):
                rival.batch_events = max(1, round(runs["lanebus"][-1].notes["events_per_batch"]))
            outcome = once(rival, setup, counts[rival.name])
            runs[rival.name].append(outcome)
            setup.say(f"round {number + 1}: {rival.title} {outcome.per_s:,.0f} events/s")
            setup.pause()
    return {
        "events": setup.events.source,
        "payload_bytes": round(setup.events.mean_bytes(), 1),
        "in_flight": IN_FLIGHT,
        "rivals": {rival.name: _figures(rival, runs[rival.name], runs["lanebus"]) for rival in present},
        "missing": missing,
    }


def once(rival: Rival, setup: Setup, events: int) -> Outcome:
    """One run on a new server.

    Raises:
        Failed: it does not start, or does not come to an end.
    """
    with rival.server() as address:
        return run_pair(rival, address, [Flow("normal", events)], setup.events.data)


def _figures(rival: Rival, runs: list[Outcome], ours: list[Outcome]) -> dict[str, Any]:
    per_s = [run.per_s for run in runs]
    return {
        "title": rival.title,
        "promise": rival.promise,
        "settings": rival.settings,
        "per_s": spread(per_s),
        "ours_to_theirs": ratios([run.per_s for run in ours], per_s),
        "broker_us": spread([run.broker_us for run in runs]),
        "sender_us": spread([run.sender_cpu_s / run.handled * 1e6 for run in runs]),
        "receiver_us": spread([run.receiver_cpu_s / run.handled * 1e6 for run in runs]),
        "lost": sum(run.sent - run.handled for run in runs),
        "events": runs[-1].sent,
        "notes": runs[-1].notes,
    }
