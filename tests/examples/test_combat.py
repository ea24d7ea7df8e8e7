"""Combat authority: what the server allows, what it refuses, and the whole fight with a player who cheats."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from tests.examples.test_programs import end, start

import lanebus
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.examples.combat import COOLDOWN_S, HEALTH, Attack, CombatServer, Fighter, Hit


class Desk:
    """An adapter that notes what a server does with it."""

    def __init__(self) -> None:
        self.name = "server:combat-1"
        self.members: set[str] = set()
        self.sent: list[tuple[str, Any, str]] = []

    def on(self, topic: str, schema: Any = None) -> Any:
        return lambda function: function

    def on_player_left(self, function: Any) -> None:
        """Nothing is to be noted."""

    def join(self, group: str, member: str) -> None:
        self.members.add(member)

    def leave(self, group: str, member: str) -> None:
        self.members.discard(member)

    def send(self, topic: str, payload: Any, *, to: str, lane: str) -> None:
        assert lane == "critical"
        self.sent.append((topic, payload, to))


class Sent:
    """An event of a player."""

    def __init__(self, sender: str, payload: object = None) -> None:
        self.sender = sender
        self.payload = payload


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr("lanebus.examples.combat.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def server(desk: Desk) -> CombatServer:
    """With two players in the fight."""
    server = CombatServer(desk)  # type: ignore[arg-type]
    for player in ("player:ivy", "player:oak"):
        server.enter(Sent(player))  # type: ignore[arg-type]
    desk.sent.clear()
    return server


def attack(server: CombatServer, sender: str, target: str, weapon: Any = "sword") -> None:
    server.attack(Sent(sender, Attack(target, weapon)))  # type: ignore[arg-type]


def test_everybody_hears_of_a_hit_and_the_server_decides_its_damage(
    desk: Desk, server: CombatServer, now_s: list[float]
) -> None:
    attack(server, "player:ivy", "player:oak")
    ((topic, hit, to),) = desk.sent
    assert (topic, to) == ("combat.hit", "group:fight")
    assert (hit.number, hit.by, hit.target) == (1, "player:ivy", "player:oak")
    assert 8 <= hit.damage <= 14
    assert hit.health == server.health["player:oak"] == HEALTH - hit.damage


@pytest.mark.parametrize(
    ("sender", "target", "why"),
    [
        ("player:fox", "player:oak", "you are not in the fight"),
        ("player:ivy", "player:ivy", "you cannot attack yourself"),
        ("player:ivy", "player:fox", "player:fox is not in the fight"),
    ],
)
def test_what_breaks_a_rule_changes_nothing_and_is_said_to_its_sender(
    desk: Desk, server: CombatServer, now_s: list[float], sender: str, target: str, why: str
) -> None:
    attack(server, sender, target)
    assert desk.sent == [("combat.denied", why, sender)]
    assert set(server.health.values()) == {HEALTH}


def test_a_weapon_has_to_cool_down(desk: Desk, server: CombatServer, now_s: list[float]) -> None:
    attack(server, "player:ivy", "player:oak", "bow")
    now_s[0] += COOLDOWN_S["bow"] / 2
    attack(server, "player:ivy", "player:oak", "sword")
    now_s[0] += COOLDOWN_S["bow"] / 2
    attack(server, "player:ivy", "player:oak", "sword")
    assert [topic for topic, _, _ in desk.sent] == ["combat.hit", "combat.denied", "combat.hit"]
    assert desk.sent[1][1] == "your sword is not ready"


def test_who_is_down_neither_attacks_nor_is_attacked(
    desk: Desk, server: CombatServer, now_s: list[float]
) -> None:
    while server.health["player:oak"]:
        attack(server, "player:ivy", "player:oak")
        now_s[0] += 1.0
    assert desk.sent[-1][1].health == 0
    desk.sent.clear()
    attack(server, "player:ivy", "player:oak")
    attack(server, "player:oak", "player:ivy")
    assert [topic for topic, _, _ in desk.sent] == ["combat.denied"] * 2


def test_who_leaves_is_out_of_the_fight(desk: Desk, server: CombatServer) -> None:
    gone = lanebus.Player("player:oak", "away", "lost", "bye", 0.0, 0, 0, 0.0)  # type: ignore[arg-type]
    server.left(lanebus.PlayerChange(gone, "left", "lost", "bye"))  # type: ignore[arg-type]
    assert desk.members == {"player:ivy"}
    assert desk.sent == [("combat.fighters", {"player:ivy": HEALTH}, "group:fight")]


@pytest.mark.parametrize(
    "payload",
    [
        {"target": "player:oak", "weapon": "sword", "damage": 9999},
        {"target": "player:oak", "weapon": "wish"},
        {"target": 7, "weapon": "bow"},
        {"target": "x" * 161, "weapon": "bow"},
        ["player:oak", "bow"],
    ],
)
def test_what_is_no_attack_does_not_fit(payload: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(payload), type=Attack)


@pytest.fixture
def fighter() -> Iterator[Fighter]:
    """A player that is not connected."""
    adapter = lanebus.ClientAdapter("ivy")
    yield Fighter(adapter, cheats=True)
    adapter.close(0.0)


def test_a_fighter_enters_attacks_and_knows_when_it_is_over(
    fighter: Fighter, capsys: pytest.CaptureFixture[str]
) -> None:
    fighter.act(100.0)
    fighter.act(100.1)
    assert (fighter.adapter.in_flight, fighter.attacks) == (1, 0)
    fighter.told(Sent("server:s", {"player:ivy": 100, "player:oak": 10}))  # type: ignore[arg-type]
    for number in range(5):
        fighter.act(101.0 + number)
    assert fighter.attacks == 5
    assert [fighter.is_over] == [False]
    fighter.hit(Sent("server:s", Hit(1, "player:ivy", "player:oak", 10, 0)))  # type: ignore[arg-type]
    assert fighter.is_over
    fighter.act(110.0)
    assert fighter.attacks == 5
    assert capsys.readouterr().out == "player:ivy hits player:oak for 10: nothing left\n"


@pytest.mark.system
def test_a_fight_ends_though_somebody_cheats() -> None:
    with BrokerProcess() as broker, ExitStack() as stack:
        program = start(stack, "combat", "--broker", broker.addresses["critical"])
        told, errors = program.communicate(timeout=60)
        assert program.returncode == 0, errors
        # The adapter's own warning; nothing else.
        assert re.fullmatch(
            r"(! payload of combat\.attack from player:ivy does not fit the handler of combat\.attack: "
            r"Object contains unknown field `damage`\n)+",
            errors,
        )
        health = {"player:ivy": HEALTH, "player:oak": HEALTH}
        hits = re.findall(r"^(\S+) hits (\S+) for (\d+): (\d+|nothing) left$", told, re.MULTILINE)
        for by, target, damage, left in hits:
            assert by != target
            health[target] = max(0, health[target] - int(damage))
            assert left == (str(health[target]) if health[target] else "nothing"), told
        assert sorted(health.values())[0] == 0
        assert "player:ivy sent combat.attack, which is refused: bad_payload\n" in told
        found = re.search(
            r"server:combat-1: (\d+) attacks, \d+\.\d\d ms each, at most \d+\.\d\d ms of 16\n\Z", told
        )
        assert found is not None, told
        assert int(found[1]) > len(hits)
        with ControlClient(broker.addresses["control"]) as control:
            audit = control.request("audit")
        assert (audit["balanced"], audit["at_rest"]) == (True, True)
        assert audit["books"]["events"]["critical"]["refused"] == told.count("bad_payload")


@pytest.mark.system
def test_a_server_and_two_players_as_programs_of_their_own() -> None:
    with BrokerProcess() as broker, ExitStack() as stack:
        address = broker.addresses["critical"]
        server = start(stack, "combat", "server", "--broker", address)
        players = [start(stack, "combat", "player", name, "--broker", address) for name in ("ada", "bob")]
        said = []
        for player in players:
            told, errors = player.communicate(timeout=60)
            assert (player.returncode, errors) == (0, ""), told
            said.append(re.findall(r"^\S+ hits .*$", told, re.MULTILINE))
        # Who came first may have heard a hit more or less at its ends; the order is one.
        shorter, longer = sorted(said, key=len)
        assert shorter
        assert "\n".join(shorter) in "\n".join(longer)
        assert re.search(r"^server:combat-1: \d+ attacks, ", end(server), re.MULTILINE)


@pytest.mark.system
def test_without_a_broker_there_is_no_fight() -> None:
    with ExitStack() as stack:
        program = start(stack, "combat", "--broker", "tcp://127.0.0.1:9")
        _, errors = program.communicate(timeout=20)
        assert program.returncode == 69
        assert "\nno fight: no broker took server:combat-1 in" in errors
