"""The plan of a torture, and its traffic: all of it from the seed, all of it possible."""

from itertools import pairwise
from pathlib import Path

import pytest
from tests.cli.trace_files import write_duel

from lanebus.cli.torture_plan import (
    BROKER,
    EVERYBODY,
    FAULT_KINDS,
    LINK_FAULTS,
    PROCESS_FAULTS,
    Plan,
    make_plan,
    parse_faults,
)
from lanebus.cli.torture_traffic import Sending, group_of, recorded, synthetic
from lanebus.cli.traces import read_trace


def planned(seed: int = 1, duration_s: float = 60.0, peers: int = 6) -> Plan:
    return make_plan(seed, duration_s, FAULT_KINDS, peers)


def test_a_seed_is_a_plan() -> None:
    assert planned(7) == planned(7)
    assert planned(7).faults != planned(8).faults
    peer = planned(7).peers[0]
    assert synthetic(planned(7), peer) == synthetic(planned(7), peer)
    assert synthetic(planned(7), peer) != synthetic(planned(8), peer)


@pytest.mark.parametrize("peers", [2, 3, 6, 20])
@pytest.mark.parametrize("seed", range(5))
def test_faults_fit_into_the_time_and_hit_what_is_there(seed: int, peers: int) -> None:
    plan = planned(seed, 40.0, peers)
    names = {peer.name: peer.role for peer in plan.peers}
    assert len(names) == peers
    for fault in plan.faults:
        assert 0 < fault.at_s <= fault.at_s + fault.lasts_s <= plan.duration_s
        if fault.kind == "kill_broker":
            assert fault.target == BROKER
            assert fault.lasts_s <= 5.0
        elif fault.kind in PROCESS_FAULTS:
            assert fault.kind == "stop_receiver" or fault.kind == f"kill_{names[fault.target]}"
        else:
            assert fault.target in names or fault.target == EVERYBODY
            assert fault.kind != "half_open" or fault.direction != "both"


def test_every_kind_gets_its_share() -> None:
    counts = {kind: sum(fault.kind == kind for fault in planned(3, 120.0).faults) for kind in FAULT_KINDS}
    assert min(counts[kind] for kind in LINK_FAULTS) >= 5
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("seed", range(5))
def test_a_process_has_one_thing_done_to_it_at_a_time(seed: int) -> None:
    plan = make_plan(seed, 120.0, PROCESS_FAULTS, 6)
    for target in {fault.target for fault in plan.faults}:
        spans = sorted((each.at_s, each.at_s + each.lasts_s) for each in plan.faults if each.target == target)
        for (_, ended_s), (began_s, _) in pairwise(spans):
            assert began_s > ended_s


def test_everybody_has_an_address_and_destinations_name_only_those_who_are_there() -> None:
    plan = planned()
    assert len({peer.host for peer in plan.peers}) == len(plan.peers)
    speakers = {name for peer in plan.peers for name in peer.speakers}
    assert {peer.role for peer in plan.peers} == {"server", "gateway", "client"}
    for destination in plan.destinations:
        assert destination.receivers
        assert set(destination.receivers) <= speakers
    for index, peer in enumerate(peer for peer in plan.peers if peer.role == "server"):
        assert group_of(peer, plan) == f"room-{index}"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("all", FAULT_KINDS),
        ("links", LINK_FAULTS),
        ("processes", PROCESS_FAULTS),
        ("none", ()),
        ("reset, kill_broker,reset", ("reset", "kill_broker")),
        ("kill_server,links", ("kill_server", *LINK_FAULTS)),
    ],
)
def test_names_of_faults(text: str, kinds: tuple[str, ...]) -> None:
    assert parse_faults(text) == list(kinds)


def test_an_unknown_fault_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'flood' is no fault; there are all, .*kill_broker"):
        parse_faults("links,flood")


def check_allowed(plan: Plan, name: str, role: str, sendings: list[Sending]) -> None:
    assert [each.at_s for each in sendings] == sorted(each.at_s for each in sendings)
    for each in sendings:
        destination = plan.destinations[each.destination]
        assert 0 <= each.at_s < plan.duration_s
        assert destination.receivers != [name]
        if role != "server":
            assert destination.to is None or str(destination.to).startswith(("server:", "service:"))
        else:
            assert destination.to is not None


def test_made_up_traffic_uses_every_lane_and_keeps_to_what_roles_may_do() -> None:
    plan = planned(5, 20.0)
    for peer in plan.peers:
        sendings = synthetic(plan, peer)
        check_allowed(plan, peer.name, peer.role, sendings)
        assert {each.lane for each in sendings} == {0, 1, 2}
        assert {each.speaker for each in sendings} == set(range(len(peer.speakers)))
        assert max(len(each.payload) for each in sendings) > 4000


def test_recorded_traffic_is_cast_and_repeated(tmp_path: Path) -> None:
    trace = read_trace(write_duel(tmp_path / "duel.jsonl.gz"))
    plan = planned(1, 30.0)
    traffic = recorded(plan, [trace, trace])
    assert set(traffic) == {peer.name for peer in plan.peers}
    for peer in plan.peers:
        check_allowed(plan, peer.name, peer.role, traffic[peer.name])
    everything = [each for sendings in traffic.values() for each in sendings]
    assert len(everything) > 2 * len(trace.times_s)
    assert {each.topic for each in everything} <= set(trace.topics)
    assert recorded(plan, []) == {peer.name: [] for peer in plan.peers}
