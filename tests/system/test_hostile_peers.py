"""Peers that break every rule they can, against a broker in a process of its own; an honest pair notices nothing."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import zmq
from tests.system.honest import HonestPair
from tests.system.test_modes import audited

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.wire.batches import UpEvent, encode_batch
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.header import VERSION, decode_header, encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Ack, Hello, Welcome, decode_message
from lanebus.wire.names import Role

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

DEADLINE_S = 60.0
SETTINGS: dict[str, Any] = {
    "sessions": {"recovery_s": 0.0, "grace_s": 2.0, "hello_timeout_s": 3.0},
    "limits": {"hellos_per_s": 1.0, "hellos_burst": 100},
    "policy": {
        "client_may_send": ["player.*", "chat"],
        "client": {"raw_bytes_per_s": 200_000.0},
        "cool_down_s": 600.0,
    },
}


class Raw:
    """One connection that says what it is told to, on the critical lane."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.DEALER)
        # Whoever floods does not wait for room in a queue of its own.
        for option, value in ((zmq.LINGER, 0), (zmq.RECONNECT_IVL, -1), (zmq.SNDHWM, 0)):
            self._socket.setsockopt(option, value)
        self._socket.connect(address)
        self._batches = 0
        self._events = 0
        self.told: list[tuple[Kind, Any]] = []

    def put(self, frame: bytes) -> None:
        """Send a frame as it is; it is lost where the connection is gone."""
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return

    def say(self, kind: Kind, message: Any) -> None:
        """Send any message but a batch."""
        body = encode_body(message)
        self.put(encode_header(kind, Lane.CRITICAL, len(body), incarnation=1) + body)

    def hello(self, name: str) -> Welcome | ErrorNumber:
        """Say hello as a new process; what comes of it."""
        hello = Hello(name=name, role=Role.CLIENT, process=os.urandom(16), versions=(VERSION, VERSION))
        self.say(Kind.HELLO, hello)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            for kind, message in self.hear(0.1):
                if kind is Kind.WELCOME:
                    assert isinstance(message, Welcome)
                    return message
                if kind is Kind.ERROR:
                    return ErrorNumber(message.number)
        raise AssertionError("the broker says nothing to a hello")

    def send(self, topic: str, to: str | None, payload: bytes = b"", count: int = 1) -> None:
        """Send a batch of events."""
        self._batches += 1
        events = [UpEvent(0, self._events + number, 0, topic, to, payload) for number in range(1, count + 1)]
        self._events += count
        batch = encode_batch(
            Lane.CRITICAL,
            (0, 0, [(0, 1)]),
            events,
            incarnation=1,
            number=self._batches,
            ack=0,
            threshold_bytes=0,
        )
        self.put(batch.frame)

    def hear(self, wait_s: float) -> list[tuple[Kind, Any]]:
        """What the broker has said since the last time."""
        heard: list[tuple[Kind, Any]] = []
        while self._socket.poll(int(wait_s * 1000)):
            frame = self._socket.recv()
            wait_s = 0.0
            header = decode_header(frame, max_raw_bytes=1 << 24)
            if header.kind is not Kind.BATCH:
                heard.append(
                    (header.kind, decode_message(header.kind, Lane.CRITICAL, open_body(frame, header)))
                )
        self.told.extend(heard)
        return heard

    def until_ended(self, misbehave: Callable[[], object]) -> ErrorNumber:
        """Go on until the broker ends it; the error that it gives."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            misbehave()
            for kind, message in self.hear(0.01):
                if kind is Kind.ERROR:
                    return ErrorNumber(message.number)
        raise AssertionError("nothing becomes of it")

    def close(self) -> None:
        self._socket.close()


class Attack:
    """All attacks, one after the other."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.found: dict[str, Any] = {}

    def __call__(self) -> None:
        try:
            for attack in (
                self.garbage,
                self.forbidden_topics,
                self.forbidden_destinations,
                self.control,
                self.raw_bytes,
                self.broken_frames,
                self.hellos,
            ):
                self.found[attack.__name__] = attack()
        finally:
            self._context.destroy(linger=0)

    @contextmanager
    def connection(self) -> Iterator[Raw]:
        raw = Raw(self._context, self._address)
        try:
            yield raw
        finally:
            raw.close()

    def garbage(self) -> int:
        """Frames of a stranger; how many answers they got."""
        with self.connection() as raw:
            for number in range(20_000):
                raw.put(number.to_bytes(4, "big") * 20)
            return len(raw.hear(0.5))

    def ended(self, name: str, misbehave: Callable[[Raw], object]) -> list[ErrorNumber]:
        """How a peer of a name is ended, and what its next hello is told."""
        with self.connection() as raw:
            assert isinstance(raw.hello(name), Welcome)
            error = raw.until_ended(lambda: misbehave(raw))
        with self.connection() as again:
            answer = again.hello(name)
        assert isinstance(answer, ErrorNumber), f"{name} was told {error.label}, and then comes in again"
        return [error, answer]

    def forbidden_topics(self) -> list[ErrorNumber]:
        return self.ended("player:topics", lambda raw: raw.send("admin.kick", None, count=30))

    def forbidden_destinations(self) -> list[ErrorNumber]:
        return self.ended("player:whispers", lambda raw: raw.send("chat", "player:honest", count=30))

    def control(self) -> list[ErrorNumber]:
        def flood(raw: Raw) -> None:
            for _ in range(200):
                raw.say(Kind.ACK, Ack([0, 0, 0]))

        return self.ended("player:acks", flood)

    def raw_bytes(self) -> ErrorNumber:
        with self.connection() as raw:
            assert isinstance(raw.hello("player:bytes"), Welcome)
            return raw.until_ended(lambda: raw.send("chat", None, payload=os.urandom(100_000)))

    def broken_frames(self) -> list[int | ErrorNumber]:
        """Links until a name is refused that sends garbage on each."""
        for count in range(200):
            with self.connection() as raw:
                answer = raw.hello("player:broken")
                if isinstance(answer, ErrorNumber):
                    return [count, answer]
                raw.put(b"garbage")
                assert raw.until_ended(lambda: None) is ErrorNumber.SHORT_FRAME
            time.sleep(0.02)
        raise AssertionError("a name that sends nothing but garbage is never refused")

    def hellos(self) -> Counter[str]:
        """What a storm of hellos is told."""
        answers: Counter[str] = Counter()
        for number in range(400):
            with self.connection() as raw:
                answer = raw.hello(f"player:storm-{number}")
                answers["welcome" if isinstance(answer, Welcome) else answer.label] += 1
        return answers


def test_an_honest_pair_notices_nothing_of_those_who_break_every_rule() -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess(SETTINGS))
        address = broker.addresses["critical"]
        pair = stack.enter_context(HonestPair(address))
        attack = Attack(address)
        pair.goes_on_during(attack)

        refused = [ErrorNumber.TOO_MANY_VIOLATIONS, ErrorNumber.COOLING_DOWN]
        found = attack.found
        assert found["garbage"] <= 2
        assert found["forbidden_topics"] == found["forbidden_destinations"] == found["control"] == refused
        assert found["raw_bytes"] is ErrorNumber.FLOOD
        count, answer = found["broken_frames"]
        assert count > 6
        assert answer is ErrorNumber.COOLING_DOWN
        assert found["hellos"]["busy"] > 100
        assert found["hellos"]["welcome"] > 0

        with ControlClient(broker.addresses["control"], timeout_s=5.0) as client:
            status = client.request("status")
            peers = {peer["name"]: peer for peer in client.request("peers")}
        assert set(status["cooling_down_s"]) == {
            "player:topics",
            "player:whispers",
            "player:acks",
            "player:broken",
        }
        assert {"not_allowed", "control", "flood", "malformed"} <= set(status["violations"])
        assert status["hellos_refused"] >= found["hellos"]["busy"]
        assert peers["player:honest"]["violations"] == peers["server:honest"]["violations"] == {}
        # Goodbyes carry the last books.
        pair.loop.close_all(5.0)
        audited(int(broker.addresses["control"].rpartition(":")[2]))
        # Garbage and refusals are no lines of the log each.
        assert broker.log_text().count("\n") < 3_000
