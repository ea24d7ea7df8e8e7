"""Messages that never end, which libzmq gathers before anybody sees them: they cost what is stated, and nobody else."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from tests.system.honest import HonestPair
from tests.system.zmtp import Raw, unfinished

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.header import VERSION, decode_header, encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Hello, LaneHello, Welcome, decode_message
from lanebus.wire.names import Role

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

STRANGERS = 8
MOST_BYTES = 1 << 30
"""What an attacker sends if nobody stops it; all together many times what they may cost."""
MAY_COST_BYTES = 512 << 20
"""Many times what loopback brings between two looks, beside a frame of 1 MiB for each: but no whole attack."""
PARTIAL = 600
PART = unfinished(bytes(16_000)) * 62
"""Nearly a frame."""
PATIENCE_S = 3.0
PIECE = unfinished(bytes(16_000)) * 64


def endless(raw: Raw) -> int:
    """Send a message that has no end; how many bytes of it until the far end hung up, or took no more."""
    raw.socket.settimeout(PATIENCE_S)
    sent = 0
    try:
        while sent < MOST_BYTES:
            raw.socket.sendall(PIECE)
            sent += len(PIECE)
    except OSError:
        pass
    return sent


def says(raw: Raw, message: Any, lane: Lane) -> None:
    body = encode_body(message)
    raw.send(encode_header(Kind.HELLO, lane, len(body), incarnation=1) + body)


def attached(address: str, name: str) -> tuple[Raw, Welcome]:
    """A player that has said hello on the critical lane."""
    raw = Raw(address)
    hello = Hello(name=name, role=Role.CLIENT, process=os.urandom(16), versions=(VERSION, VERSION))
    says(raw, hello, Lane.CRITICAL)
    received = raw.recv()
    header = decode_header(received, max_raw_bytes=1 << 24)
    welcome = decode_message(header.kind, Lane.CRITICAL, open_body(received, header))
    assert isinstance(welcome, Welcome)
    return raw, welcome


class Attack:
    """Endless messages of strangers, then of players on two lanes and of somebody at the control endpoint."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses
        self.sent: list[int] = []

    def __call__(self) -> None:
        critical = self._addresses["critical"]
        with ExitStack() as stack:
            self._at_once([stack.enter_context(Raw(critical)) for _ in range(STRANGERS)])
            raw, _ = attached(critical, "player:critical")
            self._at_once([stack.enter_context(raw)])
            raw, welcome = attached(critical, "player:low")
            stack.enter_context(raw)
            low = stack.enter_context(Raw(self._addresses["low"]))
            says(low, LaneHello(token=welcome.token), Lane.LOW)
            low.recv()
            self._at_once([low])
            self._at_once([stack.enter_context(Raw(self._addresses["control"]))])

    def _at_once(self, connections: list[Raw]) -> None:
        def attack(raw: Raw) -> None:
            self.sent.append(endless(raw))

        threads = [threading.Thread(target=attack, args=(raw,)) for raw in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_messages_without_an_end_cost_a_bounded_amount_of_memory_and_nobody_else_notices() -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess({"sessions": {"recovery_s": 0.0}}))
        control = stack.enter_context(ControlClient(broker.addresses["control"], timeout_s=5.0))
        pair = stack.enter_context(HonestPair(broker.addresses["critical"]))
        before_bytes = control.request("status")["rss_bytes"]
        attack = Attack(broker.addresses)
        pair.goes_on_during(attack)
        status = control.request("status")
        assert status["hung_up"]["unfinished"] == len(attack.sent) == STRANGERS + 3
        assert max(attack.sent) < MOST_BYTES
        assert status["rss_peak_bytes"] - before_bytes < MAY_COST_BYTES
        # Of whoever has said hello it is a violation.
        peers = {peer["name"]: peer for peer in control.request("peers")}
        for name in ("player:critical", "player:low"):
            assert peers[name]["violations"] == {"flood": 1}
            assert peers[name]["state"] == "away"
        assert peers["player:honest"]["violations"] == peers["server:honest"]["violations"] == {}
        assert 0 < broker.log_text().count("hung up on connections") < 5


def test_many_who_each_send_a_part_of_a_message_cost_a_bounded_amount_of_memory() -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(
            BrokerProcess({"sessions": {"recovery_s": 0.0, "hello_timeout_s": 300.0}})
        )
        control = stack.enter_context(ControlClient(broker.addresses["control"], timeout_s=20.0))
        pair = stack.enter_context(HonestPair(broker.addresses["critical"]))
        before_bytes = control.request("status")["rss_bytes"]

        def attack() -> None:
            for _ in range(PARTIAL):
                raw = stack.enter_context(Raw(broker.addresses["critical"]))
                # It may have been hung up on before all of it has left.
                with suppress(OSError):
                    raw.socket.sendall(PART)

        pair.goes_on_during(attack)
        status = control.request("status")
        assert status["rss_peak_bytes"] - before_bytes < MAY_COST_BYTES < PARTIAL * len(PART)
        assert status["hung_up"]["unfinished"] > PARTIAL / 2
