"""The plan of a torture: who takes part, who may write to whom, and which faults come when. All of it from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Final, Literal

import msgspec

from lanebus.cli.command_line import suggestion
from lanebus.wire.lanes import LANE_NAMES

LINK_FAULTS: Final = (
    "latency",
    "bandwidth",
    "freeze",
    "slice",
    "reset",
    "close",
    "half_open",
    "black_hole",
)
"""What the proxy does to connections."""
PROCESS_FAULTS: Final = ("kill_broker", "stop_receiver", "kill_client", "kill_server", "kill_gateway")
"""What is done to processes."""
FAULT_KINDS: Final = (*LINK_FAULTS, *PROCESS_FAULTS)

PeerRole = Literal["server", "client", "gateway"]

BROKER: Final = "broker"
EVERYBODY: Final = "*"
SERVICE: Final = "arena"
ALL_LANES: Final = ""

GRACE_S: Final = 12.0
"""The broker's session grace during a torture: longer than any process is away."""
LEASE_S: Final = 4.0
PING_INTERVAL_S: Final = 1.0
LIMITS: Final = {
    "events_per_s": 60.0,
    "events_burst": 80,
    "up_bytes_per_s": 100_000.0,
    "down_bytes_per_s": 400_000.0,
}
"""What players may do during a torture: less than their bursts, so that they are throttled and shaped, and more than
what they send and get on the whole, so that what waits for a limit does not hide what waits for a fault."""
QUIET_S: Final = 1.0
"""Undisturbed time at the beginning."""
_GAPS_S: Final = (0.2, 1.2)

_PAUSES_S: Final = {
    "kill_broker": 5.0,
    "stop_receiver": 1.0,
    "kill_client": 3.0,
    "kill_server": 3.0,
    "kill_gateway": 3.0,
}
"""Time to come back: what is killed again at once tests nothing but the killing."""

_LASTS_S: Final[dict[str, tuple[float, float]]] = {
    "latency": (1.0, 4.0),
    "bandwidth": (1.0, 4.0),
    # Some of these outlast the lease, so that links are given up that still live.
    "freeze": (0.2, 6.0),
    "slice": (1.0, 4.0),
    "reset": (0.0, 0.0),
    "close": (0.0, 0.0),
    "half_open": (0.0, 0.0),
    "black_hole": (0.2, 2.0),
    "kill_broker": (0.1, 5.0),
    "stop_receiver": (0.3, 5.5),
    "kill_client": (0.1, 3.0),
    "kill_server": (0.1, 3.0),
    "kill_gateway": (0.1, 3.0),
}


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One process with one adapter."""

    name: str
    """Of the process; its server, client or gateway has the same."""
    role: PeerRole
    host: str
    """The address at which the proxy listens for it alone, so that faults can be aimed at it."""
    speakers: list[str]
    """Full names that send and receive in it."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """An address that events are sent to, and who should handle them."""

    to: str | list[str] | None
    receivers: list[str]
    """Full names."""
    any_of: bool = False
    """Whether one of the receivers is enough: a service."""
    expanded: bool = False
    """Whether only the broker knows who belongs to it at a time: all players."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong."""

    at_s: float
    """Seconds after the traffic began."""
    lasts_s: float
    """Seconds until it is healed; for a killed process, until its successor is started."""
    kind: str
    target: str
    """Name of a process, `broker`, or `*` for all peers' links."""
    lane: str = ALL_LANES
    direction: str = "both"
    toxics: dict[str, Any] = {}
    """What the proxy is told while it lasts."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a seed decides, besides the traffic."""

    seed: int
    duration_s: float
    kinds: list[str]
    peers: list[Peer]
    groups: dict[str, list[str]]
    """Members by the group's name; server number i owns the group number i."""
    destinations: list[Destination]
    faults: list[Fault]


def make_plan(seed: int, duration_s: float, kinds: Iterable[str], peers: int) -> Plan:
    """Plan `duration_s` seconds of faults of `kinds`, shared out evenly, for `peers` processes (at least 2)."""
    kinds = list(kinds)
    people = _people(peers)
    players = [name for peer in people if peer.role != "server" for name in peer.speakers]
    servers = [peer.name for peer in people if peer.role == "server"]
    groups = {f"room-{index}": players[:: index + 1] for index in range(len(servers))}
    return Plan(
        seed=seed,
        duration_s=duration_s,
        kinds=kinds,
        peers=people,
        groups=groups,
        destinations=_destinations(servers, players, groups),
        faults=_faults(Random(f"{seed}/faults"), duration_s, kinds, people),
    )


def parse_faults(text: str) -> list[str]:
    """The kinds that `all`, `links`, `processes`, or a list with commas stands for; `none` for none.

    Raises:
        ValueError: a name is none of these; the text lists those that are.
    """
    sets = {"all": FAULT_KINDS, "links": LINK_FAULTS, "processes": PROCESS_FAULTS, "none": ()}
    chosen: dict[str, None] = {}
    for word in text.split(","):
        if word.strip() in sets:
            chosen.update(dict.fromkeys(sets[word.strip()]))
        elif word.strip() in FAULT_KINDS:
            chosen[word.strip()] = None
        else:
            known = (*sets, *FAULT_KINDS)
            hint = suggestion(word.strip(), known) or f"; there are {', '.join(known)}"
            raise ValueError(f"{word.strip()!r} is no fault{hint}")
    return list(chosen)


def _people(peers: int) -> list[Peer]:
    servers = max(1, peers // 3)
    gateways = 1 if peers > 2 else 0
    counts: dict[PeerRole, int] = {
        "server": servers,
        "gateway": gateways,
        "client": peers - servers - gateways,
    }
    roles = [role for role, count in counts.items() for _ in range(count)]
    people = []
    for index, role in enumerate(roles):
        name = f"{role}:{role}-{index}"
        speakers = [name]
        if role == "client":
            name = f"player:client-{index}"
            speakers = [name]
        elif role == "gateway":
            speakers = [f"player:guest-{number}" for number in range(3)]
        people.append(Peer(name=name, role=role, host=f"127.0.1.{index + 1}", speakers=speakers))
    return people


def _destinations(
    servers: Sequence[str], players: Sequence[str], groups: dict[str, list[str]]
) -> list[Destination]:
    found = [
        Destination(to=None, receivers=list(servers), any_of=True),
        Destination(to=f"service:{SERVICE}", receivers=list(servers), any_of=True),
        *(Destination(to=name, receivers=[name]) for name in (*servers, *players)),
        *(Destination(to=f"group:{group}", receivers=members) for group, members in groups.items()),
        Destination(to="all", receivers=list(players), expanded=True),
    ]
    if len(players) > 1:
        pairs = [[players[index - 1], players[index]] for index in range(len(players))]
        found += [Destination(to=pair, receivers=pair) for pair in pairs]
    return found


def _faults(random: Random, duration_s: float, kinds: list[str], people: list[Peer]) -> list[Fault]:
    faults: list[Fault] = []
    # A process is not stopped while it is dead: each has one thing done to it at a time.
    busy_until_s: dict[str, float] = {}
    bag: list[str] = []
    at_s = QUIET_S
    while kinds:
        if not bag:
            bag = list(kinds)
            random.shuffle(bag)
            if not faults:
                # Those that need time to recover come first, so that a short run has them too.
                bag.sort(key=lambda kind: kind in PROCESS_FAULTS)
        kind = bag.pop()
        fault = _fault(random, kind, at_s, people)
        if fault is not None and fault.at_s + fault.lasts_s > duration_s:
            break
        if fault is not None and fault.at_s >= busy_until_s.get(_slot(fault), 0.0):
            faults.append(fault)
            busy_until_s[_slot(fault)] = fault.at_s + fault.lasts_s + _PAUSES_S.get(kind, 0.0)
        at_s = round(at_s + random.uniform(*_GAPS_S), 3)
        if at_s > duration_s:
            break
    return faults


def _slot(fault: Fault) -> str:
    """What only one fault at a time can be done to."""
    return fault.target if fault.kind in PROCESS_FAULTS else f"{fault.kind} {fault.target}"


def _fault(random: Random, kind: str, at_s: float, people: list[Peer]) -> Fault | None:
    lasts_s = round(random.uniform(*_LASTS_S[kind]), 3)
    if kind == "kill_broker":
        return Fault(at_s=at_s, lasts_s=lasts_s, kind=kind, target=BROKER)
    if kind in PROCESS_FAULTS:
        role = kind.removeprefix("kill_") if kind.startswith("kill_") else None
        fitting = [peer.name for peer in people if role in (None, peer.role)]
        if not fitting:
            return None
        return Fault(at_s=at_s, lasts_s=lasts_s, kind=kind, target=random.choice(fitting))
    target = EVERYBODY if random.random() < 0.2 else random.choice(people).name
    lane = ALL_LANES if random.random() < 0.4 else random.choice(LANE_NAMES)
    direction = random.choice(("up", "down", "both"))
    if kind == "half_open" and direction == "both":
        direction = "up"
    toxics: dict[str, Any] = {}
    if kind == "latency":
        toxics = {
            "latency_s": round(random.uniform(0.02, 0.3), 3),
            "jitter_s": round(random.uniform(0, 0.1), 3),
        }
    elif kind == "bandwidth":
        toxics = {"bytes_per_s": random.choice((4_000, 16_000, 64_000))}
    elif kind == "slice":
        toxics = {"slice_bytes": random.randint(1, 64), "slice_pause_s": random.choice((0.0, 0.001))}
    elif kind == "freeze":
        toxics = {"freeze": True}
    elif kind == "black_hole":
        toxics = {"swallow": True}
    return Fault(
        at_s=at_s,
        lasts_s=lasts_s,
        kind=kind,
        target=target,
        lane=lane,
        direction=direction,
        toxics=toxics,
    )
