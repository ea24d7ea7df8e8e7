"""What peers of a torture send, and when: made up from the seed, or taken from recorded matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from lanebus.cli.torture_plan import Destination, Peer, Plan
from lanebus.cli.traces import ALL, SERVER, Trace
from lanebus.wire.lanes import Lane, lane_of

EVENTS_PER_S: Final = 40.0
"""Mean rate of one sender's made-up events, bursts apart."""
_LANE_WEIGHTS: Final = (50, 35, 15)
_BURSTS: Final = 0.004
"""Share of events that begin a burst."""
_BURST_EVENTS: Final = 120
_SIZES: Final = ((0.93, 16, 200), (0.06, 500, 4_000), (0.01, 8_000, 24_000))
"""Shares of payloads, with their smallest and largest size in bytes."""


class Sending(msgspec.Struct, frozen=True, array_like=True):
    """One event to be sent."""

    at_s: float
    """Seconds after the traffic began."""
    speaker: int
    """Which of the process' speakers sends it."""
    destination: int
    """Index into the plan's destinations."""
    topic: str
    lane: int
    payload: bytes


def synthetic(plan: Plan, peer: Peer) -> list[Sending]:
    """The made-up events of all speakers of one process, in the order of time."""
    found = [each for index in range(len(peer.speakers)) for each in _speaker_events(plan, peer, index)]
    return sorted(found, key=lambda each: each.at_s)


def recorded(plan: Plan, traces: Sequence[Trace]) -> dict[str, list[Sending]]:
    """The events of recorded matches by process, for the plan's whole time; matches that end begin again.

    Each match has a server of the plan as its server, and all players of the plan as its players; what it has for
    `all` goes to the server's group. Events for bots are left out.
    """
    servers = [peer for peer in plan.peers if peer.role == "server"]
    players = [
        (peer, index, name)
        for peer in plan.peers
        if peer.role != "server"
        for index, name in enumerate(peer.speakers)
    ]
    by_text = {str(each.to): index for index, each in enumerate(plan.destinations)}
    found: dict[str, list[Sending]] = {peer.name: [] for peer in plan.peers}
    for number, trace in enumerate(traces):
        owner = number % len(servers)
        server = servers[owner]
        people = [*trace.players, *trace.observers]
        cast = {name: players[index % len(players)] for index, name in enumerate(people)}
        for at_s, index in _repeated(trace, plan.duration_s):
            sender, receiver = trace.senders[index], trace.receivers[index]
            if receiver == ALL:
                to = f"group:room-{owner}"
            elif receiver == SERVER:
                # Half of the players leave the choice of the server to the broker.
                to = server.name if len(sender) % 2 else "None"
            elif receiver in cast:
                to = cast[receiver][2]
            else:
                continue
            if sender == SERVER:
                process, speaker = server, 0
            else:
                process, speaker, _ = cast[sender]
                if not to.startswith("server:"):
                    to = "None"  # a player may not write to players: its server would do it
            found[process.name].append(
                Sending(
                    at_s, speaker, by_text[to], trace.topics[index], trace.lanes[index], trace.payloads[index]
                )
            )
    for sendings in found.values():
        sendings.sort(key=lambda each: each.at_s)
    return found


def _repeated(trace: Trace, duration_s: float) -> Iterator[tuple[float, int]]:
    if not trace.times_s:
        return
    first_s = trace.times_s[0]
    length_s = max(trace.times_s[-1] - first_s, 1.0) + 0.1
    start_s = 0.0
    while True:
        for index, time_s in enumerate(trace.times_s):
            at_s = start_s + time_s - first_s
            if at_s >= duration_s:
                return
            yield at_s, index
        start_s += length_s


def _speaker_events(plan: Plan, peer: Peer, index: int) -> Iterator[Sending]:
    random = Random(f"{plan.seed}/traffic/{peer.speakers[index]}")
    choose = _chooser(plan, peer, random)
    at_s = 0.0
    burst = 0
    while True:
        if burst:
            burst -= 1
        else:
            at_s += random.expovariate(EVENTS_PER_S)
            if random.random() < _BURSTS:
                burst = _BURST_EVENTS
        if at_s >= plan.duration_s:
            return
        lane = random.choices((Lane.CRITICAL, Lane.NORMAL, Lane.LOW), _LANE_WEIGHTS)[0]
        least, most = random.choices([size[1:] for size in _SIZES], [size[0] for size in _SIZES])[0]
        payload = _filler(random, random.randint(least, most))
        yield Sending(at_s, index, choose(), f"torture.{lane.label}", int(lane_of(lane)), payload)


def _filler(random: Random, size: int) -> bytes:
    """Bytes of which a part compresses, as real ones do."""
    noise = random.randbytes(size // 2)
    return noise + b"lanebus " * ((size - len(noise)) // 8)


def _chooser(plan: Plan, peer: Peer, random: Random) -> Callable[[], int]:
    """Draws destinations that the peer may address, with what games do often drawn often."""
    weights: dict[int, float] = {}
    for index, each in enumerate(plan.destinations):
        weight = _weight(each, peer, plan)
        if weight:
            weights[index] = weight
    indexes = list(weights)
    shares = list(weights.values())
    return lambda: random.choices(indexes, shares)[0]


def _weight(destination: Destination, peer: Peer, plan: Plan) -> float:
    to = destination.to
    is_server = peer.role == "server"
    if to is None:
        return 0.0 if is_server else 5.0
    if isinstance(to, list):
        return 1.0 / len(plan.groups) if is_server else 0.0
    kind = to.partition(":")[0]
    if kind == "service":
        return 0.0 if is_server else 2.0
    if kind == "server":
        return 0.0 if to == peer.name else 1.0
    if not is_server:
        return 0.0
    if kind == "group":
        return 6.0 if to == f"group:{group_of(peer, plan)}" else 0.0
    return 1.0


def group_of(peer: Peer, plan: Plan) -> str:
    """The group that a server owns."""
    servers = [each.name for each in plan.peers if each.role == "server"]
    return list(plan.groups)[servers.index(peer.name)]
