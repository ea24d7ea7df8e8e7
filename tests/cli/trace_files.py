"""Traces that tests write for themselves."""

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

Recorded = dict[str, Any]


def event(
    t: float, sender: str, to: str, topic: str = "cmd.move", lane: str = "critical", data: object = None
) -> Recorded:
    return {"t": t, "from": sender, "to": to, "topic": topic, "lane": lane, "data": data}


def header(events: int, players: Sequence[str] = ("player:1", "player:2"), **more: Any) -> Recorded:
    fields = {
        "format": "game-trace/1",
        "game": "test",
        "match": "duel",
        "mode": "1v1",
        "duration_s": 10.0,
        "players": list(players),
        "observers": [],
        "bots": [],
        "events": events,
    }
    return fields | more


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    with gzip.open(path, "wt", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def write_trace(
    path: Path,
    events: Sequence[Recorded],
    players: Sequence[str] = ("player:1", "player:2"),
    **more: Any,
) -> Path:
    return write_lines(path, map(json.dumps, [header(len(events), players, **more), *events]))


def duel(count: int = 40, step_s: float = 0.05) -> list[Recorded]:
    """Two players' commands on all lanes, and what the server sends to all, to one player and to a bot."""
    lanes = ("critical", "normal", "low")
    events: list[Recorded] = []
    for number in range(count):
        t = round(number * step_s, 4)
        lane = lanes[number % 3]
        player = f"player:{number % 2 + 1}"
        events += [
            event(t, player, "server", "cmd.move", "critical", {"n": number}),
            event(t, player, "server", "camera", lane, {"x": number}),
            event(t, "server", "all", "unit.died", lane, {"unit": number, "text": "x" * (number % 50)}),
            event(t, "server", "all", "tick", "critical", None),
            event(t, "server", player, "upgrade.complete", "normal", [number]),
        ]
        if number % 10 == 0:
            events.append(event(t, "server", "player:9", "upgrade.complete", "normal", [number]))
            events.append(event(t, "player:3", "server", "camera", "low", {"x": number}))
    return events


def write_duel(path: Path, count: int = 40, step_s: float = 0.05) -> Path:
    return write_trace(
        path,
        duel(count, step_s),
        observers=["player:3"],
        bots=["player:8", "player:9"],
        duration_s=count * step_s,
    )


def car_match(seconds: float) -> list[Recorded]:
    """Six players' cars and a ball, as a server tells all players of them 30 times a second; and what they steer.

    Made up in the form, and about as dense, as the recorded matches that are told frame by frame.
    """
    random = Random(1)
    events: list[Recorded] = []
    for frame in range(int(seconds * 30)):
        t = round(frame / 30, 4)
        for actor in range(7):
            topic = "ball.state" if actor == 0 else "car.state"
            # On the ground: they turn about one axis, and their height is that of their wheels.
            state = {
                "angular_velocity": [0.0, 0.0, round(random.uniform(-200, 200), 2)],
                "linear_velocity": [*(round(random.uniform(-2000, 2000), 2) for _ in range(2)), 0.21],
                "location": [*(round(random.uniform(-5000, 5000), 2) for _ in range(2)), 17.01],
                "rotation": [0.0, 0.0, *(round(random.uniform(-1, 1), 7) for _ in range(2))],
                "sleeping": False,
            }
            data = {"actor": actor, "player": actor, "attrs": {"ReplicatedRBState": state}}
            # As in recorded matches not every actor has news in every frame.
            if random.random() < 0.7:
                events.append(event(t, "server", "all", topic, "critical", data))
        if frame % 3 == 0:
            events += [
                event(t, f"player:{n}", "server", "car.steer", "critical", [n, frame]) for n in range(1, 7)
            ]
        if frame % 15 == 0:
            events.append(
                event(t, "server", "all", "game.state", "normal", {"SecondsRemaining": 300 - frame})
            )
    return events


def write_car_match(path: Path, seconds: float = 3.0) -> Path:
    players = [f"player:{number}" for number in range(1, 7)]
    return write_trace(path, car_match(seconds), players, match="cars", duration_s=seconds)
