"""Sending on time, in order, and again when the outbox was full."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.trace_files import Recorded, event, write_trace

from lanebus import Closed, OutboxFull, TooLarge
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_sender import NEVER, Sender
from lanebus.cli.traces import read_trace


class Adapter:
    """Takes events until its room is used up."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.taken: list[tuple[str, object, dict[str, Any]]] = []
        self.numbers = [0, 0, 0]
        self.flushes = 0

    def send(self, topic: str, payload: Any, **more: Any) -> int:
        if not self.room:
            raise OutboxFull("adapter", 1, 1)
        self.room -= 1
        self.taken.append((topic, msgspec.msgpack.decode(bytes(payload)), more))
        lane: int = more["lane"]
        self.numbers[lane] += 1
        return self.numbers[lane]

    def flush(self) -> None:
        self.flushes += 1

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.taken]


Make = Callable[..., tuple[Plan, Sender]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        adapter: Adapter, events: list[Recorded], *, of: int = 0, relay: bool = False
    ) -> tuple[Plan, Sender]:
        plan = Plan([read_trace(write_trace(tmp_path / "duel.jsonl.gz", events))], relay=relay)
        return plan, Sender(plan, plan.peers[of], adapter.send, adapter.flush)

    return made


def test_each_event_is_sent_when_it_is_due(make: Make) -> None:
    adapter = Adapter()
    plan, sender = make(adapter, [event(t, "server", "all", f"t{t}", data=t) for t in (1, 2, 2, 3)])
    assert sender.next_due_s == 1
    assert sender.send_due(0.5, 100)
    assert adapter.topics == []
    assert sender.send_due(2.0, 100)
    assert adapter.topics == ["t1", "t2", "t2"]
    assert sender.next_due_s == 3
    assert sender.send_due(9.0, 100)
    assert sender.next_due_s == NEVER
    assert sender.sent == [4, 0, 0]
    assert adapter.taken[0] == ("t1", 1, {"to": "group:duel", "lane": 0, "exclude": ()})
    assert all(sent_s > 0 for sent_s in plan.sent_s)


def test_a_portion_at_a_time(make: Make) -> None:
    adapter = Adapter()
    _, sender = make(adapter, [event(0, "server", "all", f"t{n}") for n in range(5)])
    assert sender.send_due(NEVER, 2)
    assert len(adapter.taken) == 2
    assert sender.next_due_s == 0
    assert sender.send_due(NEVER, 100)
    assert adapter.topics == ["t0", "t1", "t2", "t3", "t4"]


def test_a_full_outbox_loses_nothing_and_keeps_the_order(make: Make) -> None:
    adapter = Adapter(room=2)
    _, sender = make(adapter, [event(0, "server", "all", f"t{n}") for n in range(5)])
    assert not sender.send_due(1.0, 100)
    assert sender.next_due_s == 0, "what was not taken is due at once"
    assert not sender.send_due(1.0, 100)
    adapter.room = 10
    assert sender.send_due(1.0, 100)
    assert adapter.topics == ["t0", "t1", "t2", "t3", "t4"]
    assert sum(sender.sent) == 5


def test_relays_go_first_but_never_before_what_was_tried(make: Make) -> None:
    adapter = Adapter(room=0)
    plan, sender = make(
        adapter,
        [
            event(0, "player:1", "server", "cmd.one"),
            event(0, "player:2", "server", "cmd.two"),
            event(0, "server", "all", "own"),
        ],
        relay=True,
    )
    assert not sender.send_due(1.0, 100)
    for index in (0, 1):
        sender.relay(plan.relays[index])
    adapter.room = 10
    assert sender.send_due(1.0, 100)
    assert adapter.topics == ["own", "cmd.one", "cmd.two"]
    assert [more["exclude"] for _, _, more in adapter.taken] == [(), ("player:duel.1",), ("player:duel.2",)]
    assert [plan.numbers[index] for index in (2, plan.relays[0], plan.relays[1])] == [1, 2, 3]


def test_an_unexpected_number_is_an_internal_fault(make: Make) -> None:
    adapter = Adapter()
    adapter.numbers[0] = 7
    _, sender = make(adapter, [event(0, "server", "all")])
    with pytest.raises(CliError, match="numbered an event 8 where 1 is due") as caught:
        sender.send_due(1.0, 100)
    assert caught.value.code == Exit.INTERNAL


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (TooLarge("world.map", 300_000, 262_144), r"the payload of world\.map", Exit.BAD_DATA),
        (Closed("server:duel was fenced"), "was fenced", Exit.UNAVAILABLE),
    ],
)
def test_what_can_never_be_sent_is_named(make: Make, error: Exception, words: str, code: Exit) -> None:
    def refuse(topic: str, payload: object, **more: object) -> int:
        raise error

    plan, _ = make(Adapter(), [event(3, "server", "all", "world.map")])
    sender = Sender(plan, plan.peers[0], refuse, lambda: None)
    with pytest.raises(CliError, match=f"server:duel at 3 s: .*{words}") as caught:
        sender.send_due(3.0, 1)
    assert caught.value.code == code
