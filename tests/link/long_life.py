"""A long life: one server and one gateway that stay, and everybody else who comes once and never again."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

import pytest
from tests.link.adapted import Adapted, on_the_clock_of
from tests.link.link import ADDRESS, Net
from tests.link.process import Peer

from lanebus import GatewayAdapter, OutboxFull, ServerAdapter
from lanebus.adapters.actions import State
from lanebus.adapters.event import Event
from lanebus.adapters.gateway import GatewaySession
from lanebus.broker.audit import audit
from lanebus.conf.model import Config, SessionsConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.modes import Mode
from lanebus.wire.names import Role

BEHIND_GATEWAY: Final = 13
OWN_LINKS: Final = 3
PLAYERS: Final = BEHIND_GATEWAY + OWN_LINKS
"""In one wave."""
SESSIONS: Final = SessionsConfig(
    grace_s=3.0, stalled_s=6.0, recovery_s=3.0, ping_interval_s=2.0, lease_s=5.0, failover_s=1.0
)
FORGOTTEN_S: Final = 12.0
"""Longer than anything waits for a process that has ended."""
MODES: Final[tuple[Mode, ...]] = ("reliable", "latest", "volatile", "reliable")


class Life:
    """The machine: waves of players who have never been there before, and the deaths of brokers between them.

    Args:
        config: of the broker.
        idle_s: how long nothing happens after each wave.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, config: Config | None = None, *, idle_s: float = 0.0
    ) -> None:
        self.net = Net(config or Config(policy=PolicyConfig(), sessions=SESSIONS), random=Random(1))
        on_the_clock_of(self.net, monkeypatch)
        self.idle_s = idle_s
        self.waves = 0
        self.asked = 0
        """Questions of this wave's players that the server has handled."""
        self.frames_up = self.bytes_up = 0
        self.net.watch = self._watch
        self.server = ServerAdapter("arena", service="arena", broker=ADDRESS)
        self.gateway = GatewayAdapter("g", broker=ADDRESS)
        self.seldom = ServerAdapter("seldom", broker=ADDRESS)
        """Who says a word once in a long while."""
        self.server.on("**")(self._handle)
        for what in (self.server.on_player_joined, self.server.on_player_left, self.server.on_player_quality):
            what(lambda change: None)
        self.server.watch_services()
        self.server.watch_alerts()
        self.stay = [Adapted(self.net, adapter) for adapter in (self.server, self.gateway, self.seldom)]
        for each in self.stay:
            each.adapter.start()
        self.losses = 0
        """How often those who stay had to come back: once for each broker, and for each cut."""
        self.renewals: Counter[str] = Counter()
        """By name: how often one of them needed fresh links besides."""
        self.net.run(0.1)
        self.seldom.send("word", to="server:arena", lane=Lane.LOW)
        self.rest()

    def _watch(self, peer: Peer, frame: bytes) -> None:
        self.frames_up += 1
        self.bytes_up += len(frame)

    def _handle(self, event: Event) -> None:
        if event.topic == "ask" and event.payload == self.waves:
            self.asked += 1
            try:
                self.server.send("answer", event.payload, to=event.sender, lane=event.lane)
            except OutboxFull:
                pass  # the program's own affair

    @property
    def players(self) -> int:
        """How many there have been."""
        return self.waves * PLAYERS

    # A wave

    def wave(self) -> None:
        """Players come, play together, and go in every way in which players do."""
        first = self.players
        self.waves += 1
        self.asked = 0
        room = f"match:{self.waves}"
        sessions = [self._behind(first + n) for n in range(BEHIND_GATEWAY)]
        others = [self._alone(first + BEHIND_GATEWAY + n) for n in range(OWN_LINKS)]
        pod = self._pod()
        names = [*(each.name for each in sessions), *(each.name for each in others)]
        self._place(room, names)
        self.net.run(0.3)
        self._play(room, names, sessions, others)
        if self.waves % 9 == 0:
            self.seldom.send("word", to="server:arena", lane=Lane.LOW)
        self.net.run_until(lambda: self.asked == PLAYERS * len(LANES), 5.0, "all questions are handled")
        self._go(room, sessions, others, pod)
        self.net.run(FORGOTTEN_S)
        assert self.asked == PLAYERS * len(LANES), "each question is handled once, whatever happens"
        for each in self.stay:
            expected = 1 + self.losses + self.renewals[each.name]
            assert each.core.connects == expected, f"{each.name} has lost its links"
        assert not any(each.failed for each in self.stay)
        for each in self.stay:
            each.told.clear()
        self.net.run(self.idle_s)

    def _behind(self, number: int) -> GatewaySession:
        session = self.gateway.open(str(number))
        session.on("**")(self._handle)
        session.on_unsettled(lambda unsettled: None)
        return session

    def _alone(self, number: int) -> Peer:
        peer = Peer(self.net, str(number), Role.CLIENT).start()
        peer.session().handlers.add("**", self._handle, None)
        return peer

    def _pod(self) -> Peer:
        """An instance with a name of its own, as schedulers give them."""
        pod = Peer(self.net, f"pod-{self.waves}").start()
        pod.register("pods", ["pods.*"])
        return pod

    def _place(self, room: str, names: list[str]) -> None:
        server = self.server
        for position, name in enumerate(names):
            server.join("lobby", name)
            server.join(room, name)
            if position % 2:
                server.assign(name, "arena", server.name)
        # Those who were expected, and never come.
        server.join(room, f"player:ghost-{self.waves}")
        server.assign(f"ghost-{self.waves}", "arena", server.name)
        server.assign(f"ghost-{self.waves}", "pods", f"pod-{self.waves}")
        server.send("you.there", to=f"player:ghost-{self.waves}")
        server.send("you.there", to=f"group:nobody-{self.waves}", ttl_ms=200.0)

    def _play(self, room: str, names: list[str], sessions: list[GatewaySession], others: list[Peer]) -> None:
        for lane in LANES:
            for unit, name in enumerate(names):
                mode = MODES[unit % 4]
                key = f"{room}:{unit}" if mode == "latest" else None
                self.server.send(f"unit.{unit}", unit, to=name, lane=lane, mode=mode, key=key)
                self.server.send("shown", unit, to=f"group:{room}", lane=lane, mode="latest", key=key or unit)
            self.server.send("news", room, to="all", lane=lane, ttl_ms=300.0)
            for session in sessions:
                session.send("ask", self.waves, lane=lane)
                session.send(f"topic-{self.waves}.of.this.match", lane=lane, ttl_ms=500.0)
            for peer in others:
                peer.send(None, self.waves, topic="ask", lane=lane)
                peer.send("service:pods", self.waves, topic="pods.t", lane=lane)
        sessions[0].reading = False
        others[0].events_per_turn = 0

    def _go(self, room: str, sessions: list[GatewaySession], others: list[Peer], pod: Peer) -> None:
        """With a word and without one, with and without having been taken out of groups; some say more before."""
        for position, session in enumerate(sessions):
            session.send("ask", room, lane=Lane.NORMAL)  # too late to be answered
            self.server.send("late", room, to=session.name, lane=Lane.LOW)
            if position % 3 == 0:
                self.server.leave(room, session.name)
                self.server.leave("lobby", session.name)
                self.server.assign(session.name, "arena", None)
            session.close()
        stuck, orderly, cut = others
        stuck.kill()
        orderly.close()
        cut.cut(peer_after_s=None, broker_after_s=None)
        cut.kill()
        if self.waves % 2:
            pod.kill()
        else:
            pod.close()

    # What happens between

    def restart_broker(self) -> tuple[int, int]:
        """The broker dies, another one starts: frames and bytes that those who stay say until all is as it was."""
        self.losses += 1
        self.net.kill_broker()
        self.net.run(0.2)
        before = self.frames_up, self.bytes_up
        self.net.start_broker()
        self.rest()
        said = self.frames_up - before[0], self.bytes_up - before[1]
        self.net.run(FORGOTTEN_S)
        return said

    def cut(self) -> tuple[int, int]:
        """All who stay lose their links, and resume: frames and bytes that they say until all is as it was."""
        self.losses += 1
        before = self.frames_up, self.bytes_up
        for each in self.stay:
            each.cut()
        self.net.run(0.1)
        self.rest()
        return self.frames_up - before[0], self.bytes_up - before[1]

    def rest(self) -> None:
        """Wait until everything is as it is when nothing happens."""
        self.net.run_until(self._rests, 60.0, "all is at rest")

    def _rests(self) -> bool:
        return audit(self.net.core).at_rest and all(
            each.core.state is State.UP and not each.adapter.unfinished for each in self.stay
        )
