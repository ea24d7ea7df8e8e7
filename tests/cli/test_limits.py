"""`lanebus limits`, against a real broker with a player that sends too fast."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.commands import LANEBUS, complaint, environment, lanebus, wait_until

from lanebus import ClientAdapter, Loop, OutboxFull, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit

pytestmark = pytest.mark.system


class Scene:
    """A server that handles everything, and a player that sends as fast as it can."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.control = broker.addresses["control"]
        self.loop = Loop()
        self.server = ServerAdapter("arena", service="arena", broker=broker.addresses["critical"])
        self.player = ClientAdapter("loud", broker=broker.addresses["critical"], outbox_bytes=60_000)
        self.handled = 0
        self.sent = 0
        self.server.on("**")(self._handle)
        for adapter in (self.server, self.player):
            self.loop.add(adapter)
            adapter.start()

    def _handle(self, event: Any) -> None:
        self.handled += 1

    def flood(self) -> None:
        """Send what fits into the outbox, and let everybody have a turn."""
        try:
            while True:
                self.player.send("t", {}, lane="normal")
                self.sent += 1
        except OutboxFull:
            self.loop.turn(0.01)

    def is_throttled(self) -> bool:
        """Whether the player has heard that it is over a limit, after another flood."""
        self.flood()
        return bool(self.player.throttled)

    def limits_during_a_flood(self) -> str:
        """What `lanebus limits` prints of the player, which floods until the command has ended."""
        asking = [*LANEBUS, "limits", "loud", "-s", self.control]
        with subprocess.Popen(asking, stdout=subprocess.PIPE, text=True, env=environment()) as process:
            while process.poll() is None:
                self.flood()
            assert process.returncode == 0
            assert process.stdout is not None
            return process.stdout.read()

    def has_all(self) -> bool:
        """Whether everything that was sent is handled, after another turn."""
        self.loop.turn(0.01)
        return self.handled == self.sent

    def limits(self, *arguments: str) -> str:
        """What `lanebus limits` prints."""
        finished = lanebus("limits", *arguments, "-s", self.control)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.limits(*arguments, "-o", "json"))


@pytest.fixture
def scene() -> Iterator[Scene]:
    with BrokerProcess() as broker:
        scene = Scene(broker)
        yield scene
        scene.loop.close_all(timeout_s=0.0)
        scene.loop.close()


def test_a_flood_is_seen_its_limit_raised_and_all_of_it_arrives(scene: Scene) -> None:
    wait_until(scene.is_throttled)
    text = scene.limits_during_a_flood()
    wait_until(scene.is_throttled)
    assert "THROTTLED by events_per_s" in text
    assert scene.json("loud")["used"]["events_per_s"] > 0.0
    (held,) = scene.player.throttled
    assert (held.session, held.limit) == ("player:loud", "events_per_s")
    assert held.events > 0
    assert scene.limits("player:l*", "--set", "events_per_s=0", "--set", "up_bytes_per_s=0") == (
        "changed for 1 session and for who comes\n"
    )
    first = {name: value for name, value in scene.json()[0].items() if value is not None}
    assert first == {
        "source": "changed",
        "match": "player:l*",
        "events_per_s": 0.0,
        "up_bytes_per_s": 0.0,
    }
    assert "no limit" in scene.limits("loud")
    wait_until(scene.has_all)
    scene.limits("player:l*", "--reset")
    assert [row["source"] for row in scene.json()] == ["role", "role"]


def test_what_cannot_be_set_is_said(scene: Scene, tmp_path: Path) -> None:
    for arguments, text in (
        (["--set", "events_per_s=1"], "name the peers"),
        (["loud", "--set", "speed=1"], "there is no limit 'speed'; there are events_per_s,"),
        (["loud", "--set", "events_per_s=fast"], "'fast' is no number"),
        (["loud", "--set", "events_per_s=1", "--reset"], "--set and --reset are one too many"),
    ):
        assert text in complaint(lanebus("limits", *arguments, "-s", scene.control), Exit.USAGE)
    assert "'player:nobody' has no session" in complaint(
        lanebus("limits", "nobody", "-s", scene.control), Exit.UNKNOWN
    )
    assert "events_per_s" in complaint(
        lanebus("limits", "loud", "--set", "events_per_s=-1", "-s", scene.control), Exit.USAGE
    )
