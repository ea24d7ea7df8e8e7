"""The plan: names, destinations, numbers, and the exact sequence that every receiver must get."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli.trace_files import Recorded, event, write_duel, write_trace

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_crew import share_out
from lanebus.cli.replay_plan import Peer, Plan
from lanebus.cli.traces import read_trace
from lanebus.wire.lanes import Lane


def plan_of(tmp_path: Path, events: list[Recorded], *, relay: bool = False, **header: Any) -> Plan:
    return Plan([read_trace(write_trace(tmp_path / "duel.jsonl.gz", events, **header))], relay=relay)


def peer(plan: Plan, name: str) -> Peer:
    return next(each for each in plan.peers if each.name == name)


def expected(plan: Plan, receiver: str, sender: str, lane: Lane) -> list[int]:
    """Indexes of what is expected, in order; only for orders that are known from the start."""
    return list(plan._streams[peer(plan, receiver).index, peer(plan, sender).index][lane])


def test_everybody_has_a_name_on_the_bus(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        [event(0, "server", "player:8"), event(0, "player:3", "server")],
        observers=["player:3"],
        bots=["player:8", "player:9"],
    )
    names = ["server:duel", "player:duel.1", "player:duel.2", "player:duel.3", "player:duel.8"]
    assert [each.name for each in plan.peers] == names, "a bot that nobody addresses has no name"
    assert [each.is_player for each in plan.peers] == [False, True, True, False, False]
    match = plan.matches[0]
    assert (match.group, match.gateway, match.server, match.clients) == (
        "group:duel",
        "duel-gw",
        0,
        [1, 2, 3, 4],
    )
    assert plan.players == 2


def test_destinations(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        [event(0, "player:1", "server"), event(1, "server", "all"), event(2, "server", "player:2")],
    )
    assert plan.to == [None, "group:duel", "player:duel.2"]
    assert [plan.peers[index].name for index in plan.senders] == [
        "player:duel.1",
        "server:duel",
        "server:duel",
    ]
    assert list(plan.times_s) == [0, 1, 2]
    assert plan.deliveries == 1 + 2 + 1


def test_all_means_players_and_nobody_else(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        [event(0, "server", "all"), event(1, "server", "player:9"), event(2, "player:3", "server")],
        observers=["player:3"],
        bots=["player:9"],
    )
    assert expected(plan, "player:duel.1", "server:duel", Lane.CRITICAL) == [0]
    assert expected(plan, "player:duel.2", "server:duel", Lane.CRITICAL) == [0]
    assert expected(plan, "player:duel.9", "server:duel", Lane.CRITICAL) == [1]
    assert expected(plan, "server:duel", "player:duel.3", Lane.CRITICAL) == [2]
    assert plan.checkers(peer(plan, "player:duel.3"))["server:duel"][Lane.CRITICAL].total == 0


def test_numbers_count_by_sender_and_lane(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        [
            event(0, "player:1", "server", lane="critical"),
            event(0, "player:1", "server", lane="low"),
            event(0, "player:2", "server", lane="critical"),
            event(0, "player:1", "server", lane="critical"),
            event(0, "server", "all", lane="critical"),
            event(0, "server", "player:1", lane="critical"),
        ],
    )
    assert list(plan.numbers) == [1, 1, 1, 2, 1, 2]
    assert list(peer(plan, "player:duel.1").outgoing) == [0, 1, 3]
    assert list(peer(plan, "server:duel").outgoing) == [4, 5]


def test_relayed_commands_follow_the_order_of_the_server(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        [
            event(0, "player:1", "server", "cmd.a", data=1),  # 0
            event(0, "player:1", "server", "camera", "low"),  # 1
            event(0, "player:2", "server", "cmd.b", data=2),  # 2
            event(0, "player:3", "server", "cmd.c", data=3),  # 3: an observer's is not sent on
            event(0, "server", "all", "unit.died"),  # 4
            event(0, "server", "player:2", "hint"),  # 5
            event(0, "server", "all", "tick", "normal"),  # 6
        ],
        relay=True,
        observers=["player:3"],
    )
    assert plan.relays == {0: 7, 2: 8}
    assert plan.originals == {7: 0, 8: 2}
    assert plan.topics[7:] == ["cmd.a", "cmd.b"]
    assert plan.payloads[7] is plan.payloads[0]
    assert plan.to[7:] == ["group:duel"] * 2
    # Four upstream; unit.died to two, the hint to one, the tick to two, each command to the other player.
    assert plan.deliveries == 4 + 2 + 1 + 2 + 2

    first = plan.checkers(peer(plan, "player:duel.1"))["server:duel"]
    second = plan.checkers(peer(plan, "player:duel.2"))["server:duel"]
    assert [stream.total for stream in first] == [2, 1, 0]
    assert [stream.total for stream in second] == [3, 1, 0]

    order = plan.orders[0, Lane.CRITICAL]
    for index in (8, 4, 7, 5):
        plan.numbers[index] = order.next_is(index)
    assert [plan.numbers[index] for index in (8, 4, 7, 5)] == [1, 2, 3, 4]
    for stream, indexes in ((first[Lane.CRITICAL], [8, 4]), (second[Lane.CRITICAL], [4, 7, 5])):
        taken = [
            stream.take(plan.numbers[index], plan.topics[index], plan.payloads[index]) for index in indexes
        ]
        assert taken == indexes
        assert stream.complete
        assert not stream.faults()


def test_a_player_alone_has_nobody_to_relay_to(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [event(0, "player:1", "server", "cmd.a")], relay=True, players=["player:1"])
    assert not plan.relays
    assert not plan.orders


def test_a_player_may_only_address_the_server(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"duel: player:1 sends chat to all at 2 s") as caught:
        plan_of(tmp_path, [event(2, "player:1", "all", "chat")])
    assert caught.value.code == Exit.BAD_DATA


def test_matches_need_names_of_their_own(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    traces = [read_trace(write_duel(folder / "duel.jsonl.gz")) for folder in (tmp_path, other)]
    with pytest.raises(CliError, match="two matches are called 'duel'") as caught:
        Plan(traces)
    assert caught.value.code == Exit.USAGE


def test_several_matches_stay_apart(tmp_path: Path) -> None:
    plan = Plan([read_trace(write_duel(tmp_path / f"{name}.jsonl.gz")) for name in ("north", "south")])
    assert len(plan.matches) == 2
    for each in plan.peers:
        match = plan.matches[each.match].name
        assert each.name.partition(":")[2].split(".")[0] == match
        for sender in plan.checkers(each):
            assert match in sender


@pytest.mark.parametrize("keep_together", [False, True])
def test_work_is_shared_out(tmp_path: Path, keep_together: bool) -> None:
    plan = Plan([read_trace(write_duel(tmp_path / f"match-{number}.jsonl.gz")) for number in range(4)])
    shares = share_out(plan, 2, keep_together=keep_together)
    assert sorted(each.index for share in shares for each in share) == list(range(len(plan.peers)))
    loads = [sum(plan.weight(each) for each in share) for share in shares]
    assert min(loads) > 0.4 * sum(loads)
    homes: dict[int, set[int]] = {}
    for number, share in enumerate(shares):
        for each in share:
            if not each.is_server:
                homes.setdefault(each.match, set()).add(number)
    if keep_together:
        assert all(len(where) == 1 for where in homes.values())


def test_there_are_no_idle_processes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [event(0, "player:1", "server")], players=["player:1"])
    assert len(share_out(plan, 8, keep_together=False)) == 2
