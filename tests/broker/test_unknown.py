"""Questions about somebody of whom nothing is known: one answer to all of them, and who may have been meant."""

import msgspec
import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.inspect import Inspector
from lanebus.broker.unknown import Unknown, session_of

QUESTIONS = [
    {"command": "why", "peer": "player:nobody"},
    {"command": "quality", "peer": "player:nobody"},
    {"command": "limits", "peer": "player:nobody"},
    {"command": "members", "group": "nobody"},
    {"command": "why", "peer": 7},
    {"command": "quality", "peer": None},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_every_question_about_nobody_is_told_from_other_refusals(
    bench: Bench, question: dict[str, object]
) -> None:
    inspector = Inspector(bench.core, {})
    answer = inspector.answer([msgspec.msgpack.encode(question)], bench.now)
    assert answer is not None
    found = msgspec.msgpack.decode(answer)
    assert (found["ok"], found["unknown"]) == (False, True)


@pytest.mark.parametrize("question", [{"command": "nonsense"}, {"command": "log", "level": "loud"}], ids=str)
def test_other_refusals_are_not_about_somebody_unknown(bench: Bench, question: dict[str, object]) -> None:
    answer = Inspector(bench.core, {}).answer([msgspec.msgpack.encode(question)], bench.now)
    assert answer is not None
    assert "unknown" not in msgspec.msgpack.decode(answer)


def test_who_is_attached_is_known(bench: Bench) -> None:
    Peer(bench, "player:1").attach()
    assert session_of(bench.core, "player:1").name == "player:1"


def test_who_may_have_been_meant_is_named(bench: Bench) -> None:
    Peer(bench, "player:1").attach()
    with pytest.raises(Unknown, match=r"'server:1' has no session.*; but player:1 is known"):
        session_of(bench.core, "server:1")
