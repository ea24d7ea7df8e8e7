"""A peer of a torture, run inside the test: what it sends, handles and learns is what stands in its logs."""

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit
from lanebus.cli.torture_check import FACTS_FILE, PLAN_FILE, Facts, check
from lanebus.cli.torture_log import now_us
from lanebus.cli.torture_peer import PeerProcess, Report, Spec, Word, main
from lanebus.cli.torture_plan import Peer, Plan, make_plan
from lanebus.cli.torture_traffic import group_of, synthetic

pytestmark = pytest.mark.system

DEADLINE_S = 20.0


class Running:
    """A peer in a thread, with its pipes."""

    def __init__(self, plan: Plan, peer: Peer, broker: str, folder: Path) -> None:
        traffic = folder / f"{peer.role}{len(peer.speakers)}.{peer.host}.traffic"
        traffic.write_bytes(msgspec.msgpack.encode(synthetic(plan, peer)))
        group = group_of(peer, plan) if peer.role == "server" else ""
        words, self._words = os.pipe()
        self._reports, reports = os.pipe()
        os.set_blocking(self._reports, False)
        self._ends = (words, reports)
        spec = Spec(
            peer=peer,
            life=1,
            broker=broker,
            folder=str(folder),
            traffic=str(traffic),
            destinations=plan.destinations,
            group=group,
            members=plan.groups.get(group, []),
        )
        process = PeerProcess(spec, words, reports)
        self.thread = threading.Thread(target=process.run, daemon=True)
        self.thread.start()

    def tell(self, do: str, at_us: int = 0) -> None:
        os.write(self._words, msgspec.json.encode(Word(do=do, at_us=at_us)) + b"\n")

    def report(self) -> Report | None:
        """The latest of the reports that have come."""
        try:
            lines = os.read(self._reports, 1 << 16).split(b"\n")
        except BlockingIOError:
            return None
        return msgspec.json.decode(lines[-2], type=Report) if len(lines) > 1 else None

    def until_quiet(self) -> None:
        """Wait for a report that says it is up and nothing is on its way."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            report = self.report()
            if report and report.state == "up" and not report.in_flight and not report.pending:
                return
            assert time.monotonic() < deadline_s, f"not quiet in {DEADLINE_S:g} s: {report}"
            time.sleep(0.02)

    def close(self) -> None:
        for descriptor in (self._words, self._reports, *self._ends):
            os.close(descriptor)


def test_peers_write_down_what_they_send_handle_and_learn(tmp_path: Path) -> None:
    plan = make_plan(3, 1.5, [], 3)
    (tmp_path / PLAN_FILE).write_bytes(msgspec.json.encode(plan))
    (tmp_path / FACTS_FILE).write_bytes(msgspec.json.encode(Facts(killed=[], injected=[])))
    with BrokerProcess() as broker:
        address = broker.addresses["critical"]
        running: list[Running] = []
        for peer in sorted(plan.peers, key=lambda peer: peer.role == "server"):
            running.append(Running(plan, peer, address, tmp_path))
            running[-1].until_quiet()
        start_us = now_us()
        for each in running:
            each.tell("start", start_us)
        time.sleep(plan.duration_s)
        for word in ("stop", "end"):
            for each in running:
                if word == "end":
                    each.until_quiet()
                each.tell(word)
        for each in running:
            each.thread.join(DEADLINE_S)
            assert not each.thread.is_alive()
            each.close()
    found = check(tmp_path)
    assert not found.examples
    assert not found.crashed
    assert found.misbooked == found.unsettled == 0
    assert found.accepted > 100
    assert found.ends == {"delivered": found.accepted}


def test_the_process_wants_a_spec_and_a_parent() -> None:
    assert main(["{}"]) == Exit.USAGE
