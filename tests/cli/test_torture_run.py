"""The run of a torture: how it ends when it cannot begin, and what it says of processes that end by themselves."""

import signal
import socket
from pathlib import Path

import msgspec
import pytest

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.torture_check import check
from lanebus.cli.torture_plan import Fault, Plan, make_plan
from lanebus.cli.torture_run import BROKER_HOST, Torture
from lanebus.cli.torture_traffic import Sending, synthetic

pytestmark = pytest.mark.system


def small(duration_s: float) -> tuple[Plan, dict[str, list[Sending]]]:
    plan = make_plan(1, duration_s, [], 2)
    return plan, {peer.name: synthetic(plan, peer) for peer in plan.peers}


def test_without_a_broker_there_is_no_torture(tmp_path: Path) -> None:
    torture = Torture(*small(3.0), tmp_path)
    with (
        socket.create_server((BROKER_HOST, torture._ports[0])),
        pytest.raises(CliError, match="the broker did not start: status 71") as caught,
    ):
        torture.run()
    assert caught.value.code == Exit.UNAVAILABLE


class Accident(Torture):
    """Ends a process where a fault is due, and knows nothing of it."""

    def _begin(self, fault: Fault) -> None:
        self._child(fault.target).signal(signal.SIGTERM)


def test_a_peer_that_ends_by_itself_is_a_problem_and_the_others_are_drained(tmp_path: Path) -> None:
    plan, traffic = small(3.0)
    client = next(peer.name for peer in plan.peers if peer.role == "client")
    accident = Fault(at_s=0.5, lasts_s=0.0, kind="reset", target=client)
    said: list[str] = []
    plan = msgspec.structs.replace(plan, duration_s=1.0, faults=[accident])
    outcome = Accident(plan, traffic, tmp_path, said.append).run()
    assert any(f"{client} life 1 ended by itself: status -15" in problem for problem in outcome.problems)
    assert any("reset" in line for line in said)
    assert outcome.is_drained
    assert check(tmp_path).crashed == [f"{client} life 1"]
