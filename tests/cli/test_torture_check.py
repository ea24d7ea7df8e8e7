"""The judge: a fault of each kind, planted in the logs, is found, and what is allowed is not one."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from lanebus.cli.torture_check import FACTS_FILE, MAX_EXAMPLES, PLAN_FILE, Facts, Findings, Injected, check
from lanebus.cli.torture_log import GOT, SENT, Log, log_path
from lanebus.cli.torture_plan import Destination, Peer, Plan

SERVER, ANNA, BERT = "server:s", "player:anna", "player:bert"
TO_ANNA, TO_BOTH, TO_ALL, TO_SERVICE = range(4)
DELIVERED = ("delivered", "-")


class Scene:
    """A server that sends to two players, by what they have written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.killed: list[tuple[str, int]] = []
        self.injected: list[Injected] = []
        self.now_us = 1_000_000
        self._next: Counter[tuple[str, int, int]] = Counter()
        self._logs: dict[tuple[str, int, str], Log] = {}
        self._sent: Counter[tuple[str, int, int]] = Counter()
        self._ends: Counter[tuple[str, int, int, str]] = Counter()

    def log(self, process: str, life: int, kind: str) -> Log:
        key = process, life, kind
        if key not in self._logs:
            self._logs[key] = Log(log_path(self.folder, process, life, kind))
        return self._logs[key]

    def tick(self, by_us: int = 1000) -> int:
        self.now_us += by_us
        return self.now_us

    def send(
        self,
        to: int = TO_ANNA,
        *,
        end: tuple[str, str] | None = DELIVERED,
        life: int = 1,
        lane: int = 0,
        sender: str = SERVER,
    ) -> int:
        """Send one event, and have it end."""
        key = sender, life, lane
        self._next[key] += 1
        n = self._next[key]
        log = self.log(sender, life, SENT)
        log.write("a", self.tick(), 0, lane, n, to)
        self._sent[key] += 1
        if end is not None:
            log.write("e", self.tick(), 0, lane, n, *end)
            self._ends[*key, end[0]] += 1
        return n

    def got(
        self,
        n: int,
        *by: str,
        life: int = 1,
        sender_life: int = 1,
        lane: int = 0,
        flags: str = "-",
        sender: str = SERVER,
    ) -> None:
        """Handle one event at each of `by`, Anna by default."""
        for name in by or (ANNA,):
            self.log(name, life, GOT).write(self.tick(), name, sender, sender_life, lane, n, flags)

    def finish(self, *, off_by: int = 0) -> Findings:
        """End every life that was not killed, in order, and judge."""
        lives = {(process, life) for process, life, _ in self._logs} | {(SERVER, 1), (ANNA, 1), (BERT, 1)}
        names = ["delivered", "superseded", "expired", "dropped", "refused", "unknown"]
        for process, life in sorted(lives):
            log = self.log(process, life, SENT)
            if (process, life) not in self.killed:
                for lane in range(3):
                    ends = [self._ends[process, life, lane, name] for name in names]
                    accepted = self._sent[process, life, lane] + off_by
                    log.write("b", 0, lane, accepted, *ends, sum(ends[1:]))
                log.write("z", self.tick())
        for each in self._logs.values():
            each.close()
        peers = [
            Peer(name=SERVER, role="server", host="", speakers=[SERVER]),
            Peer(name=ANNA, role="client", host="", speakers=[ANNA]),
            Peer(name=BERT, role="client", host="", speakers=[BERT]),
        ]
        plan = Plan(
            seed=1,
            duration_s=10.0,
            kinds=[],
            peers=peers,
            groups={"room-0": [ANNA, BERT]},
            destinations=[
                Destination(to=ANNA, receivers=[ANNA]),
                Destination(to=[ANNA, BERT], receivers=[ANNA, BERT]),
                Destination(to="all", receivers=[ANNA, BERT], expanded=True),
                Destination(to="service:arena", receivers=[SERVER, BERT], any_of=True),
            ],
            faults=[],
        )
        (self.folder / PLAN_FILE).write_bytes(msgspec.json.encode(plan))
        facts = Facts(killed=self.killed, injected=self.injected)
        (self.folder / FACTS_FILE).write_bytes(msgspec.json.encode(facts))
        return check(self.folder)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def breaches(found: Findings) -> dict[str, int]:
    names = ("duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked")
    counts = {name: getattr(found, name) for name in names}
    counts |= {"lost": found.lost.total(), "crashed": len(found.crashed)}
    return {name: count for name, count in counts.items() if count}


def test_a_clean_run_is_clean(scene: Scene) -> None:
    for lane in range(3):
        for _ in range(5):
            scene.got(scene.send(lane=lane), lane=lane)
    scene.got(scene.send(TO_BOTH), ANNA, BERT)
    scene.got(scene.send(TO_ALL), ANNA, BERT)
    found = scene.finish()
    assert breaches(found) == {}
    assert (found.accepted, found.handled) == (17, 19)
    assert found.ends == {"delivered": 17}
    assert len(found.latencies_ms) == 19
    assert not found.examples


def test_lost_events_by_their_place(scene: Scene) -> None:
    numbers = [scene.send() for _ in range(10)]
    for n in numbers[2:5] + numbers[6:9]:
        scene.got(n)
    found = scene.finish()
    assert breaches(found) == {"lost": 4}
    assert found.lost == {"head": 2, "middle": 1, "tail": 1}
    assert found.examples["lost"][0] == (
        "server:s life 1 critical #1 to player:anna, delivered: not handled by player:anna"
    )


def test_a_member_that_is_left_out_is_a_loss(scene: Scene) -> None:
    scene.got(scene.send(TO_BOTH), ANNA)
    scene.got(scene.send(TO_ALL), BERT)
    assert breaches(scene.finish()) == {"lost": 2}


def test_any_instance_of_a_service_will_do(scene: Scene) -> None:
    scene.got(scene.send(TO_SERVICE, sender=ANNA), BERT, sender=ANNA)
    scene.send(TO_SERVICE, sender=ANNA)
    assert breaches(scene.finish()) == {"lost": 1}


def test_an_event_that_ended_otherwise_may_be_missing(scene: Scene) -> None:
    for end in (
        ("refused", "unknown_destination"),
        ("unknown", "receiver_gone"),
        ("dropped", "slow_receiver"),
    ):
        scene.send(end=end)
    scene.got(scene.send(end=("expired", "-")))
    found = scene.finish()
    assert breaches(found) == {}
    assert found.ends == {
        "refused: unknown_destination": 1,
        "unknown: receiver_gone": 1,
        "dropped: slow_receiver": 1,
        "expired": 1,
    }


@pytest.mark.parametrize("end", [None, ("unknown", "closed")])
def test_never_settled(scene: Scene, end: tuple[str, str] | None) -> None:
    scene.got(scene.send(end=end))
    scene.send(end=end)
    found = scene.finish()
    assert found.unsettled == 2
    assert found.lost.total() == 1


def test_twice_in_one_life_is_double_and_in_two_lives_it_is_allowed(scene: Scene) -> None:
    first, second = scene.send(), scene.send()
    scene.got(first)
    scene.got(first)
    scene.killed.append((ANNA, 1))
    scene.got(second)
    scene.got(second, life=2, flags="r")
    found = scene.finish()
    assert breaches(found) == {"duplicated": 1}
    assert found.redelivered == 1
    assert found.handled == 2


def test_order_is_that_of_each_life_and_lane(scene: Scene) -> None:
    numbers = [scene.send() for _ in range(4)]
    low = scene.send(lane=2)
    for n in (numbers[0], numbers[2], numbers[1], numbers[3]):
        scene.got(n)
    scene.got(low, lane=2)
    scene.killed.append((ANNA, 1))
    for n in numbers:
        scene.got(n, life=2)
    found = scene.finish()
    assert breaches(found) == {"misordered": 1}
    assert found.examples["misordered"] == [
        "server:s life 1 critical #2 to player:anna at player:anna life 1, after #3"
    ]


def test_what_was_never_sent_or_not_to_him_is_unexpected(scene: Scene) -> None:
    n = scene.send()
    scene.got(n)
    scene.got(n, BERT)
    scene.got(99)
    scene.got(n, sender_life=7)
    scene.log(SERVER, 1, SENT).write("a", scene.tick(), 0, 1, 1, TO_ANNA)
    scene.log(SERVER, 1, SENT).write("w", scene.tick(), 0, 1, 1)
    scene.got(1, lane=1)
    assert breaches(scene.finish()) == {"unexpected": 4}


def test_an_event_that_did_not_fit_at_first_counts_once(scene: Scene) -> None:
    log = scene.log(SERVER, 1, SENT)
    log.write("a", scene.tick(), 0, 0, 1, TO_ANNA)
    log.write("w", scene.tick(), 0, 0, 1)
    scene.got(scene.send())
    found = scene.finish()
    assert breaches(found) == {}
    assert found.accepted == 1


def test_a_damaged_payload(scene: Scene) -> None:
    n = scene.send()
    scene.got(n, flags="c")
    scene.got(n)
    assert breaches(scene.finish()) == {"corrupted": 1}


def test_a_killed_sender_takes_its_outbox_along_but_not_what_it_was_told(scene: Scene) -> None:
    scene.killed.append((SERVER, 1))
    scene.send(end=None)
    scene.got(scene.send(end=None))
    scene.send()
    found = scene.finish()
    assert breaches(found) == {"lost": 1}
    assert found.orphaned == 1


def test_a_life_that_ends_by_itself(scene: Scene) -> None:
    scene.got(scene.send())
    log_path(scene.folder, ANNA, 2, SENT).touch()
    assert scene.finish().crashed == ["player:anna life 2"]


def test_books_that_say_something_else(scene: Scene) -> None:
    scene.got(scene.send())
    assert breaches(scene.finish(off_by=1)) == {"misbooked": 9}


def test_a_line_that_a_kill_cut_short_is_left_out(scene: Scene) -> None:
    scene.killed.append((ANNA, 1))
    scene.got(scene.send())
    with log_path(scene.folder, ANNA, 1, GOT).open("a") as file:
        file.write("1234\tplayer:an")
    assert breaches(scene.finish()) == {}


@pytest.mark.parametrize(
    ("target", "kind", "is_excused"),
    [
        ("broker", "kill_broker", True),
        (BERT, "kill_client", True),
        (ANNA, "kill_client", False),
        (BERT, "freeze", False),
    ],
)
def test_one_of_all_players_may_be_missed_once_it_or_the_broker_was_killed(
    scene: Scene, target: str, kind: str, is_excused: bool
) -> None:
    scene.injected.append(Injected(kind=kind, target=target, began_us=0, ended_us=1))
    scene.got(scene.send(TO_ALL), ANNA)
    found = scene.finish()
    assert breaches(found) == ({} if is_excused else {"lost": 1})
    assert found.unexpanded == int(is_excused)


def test_a_later_kill_excuses_nothing(scene: Scene) -> None:
    scene.got(scene.send(TO_ALL), ANNA)
    at_us = scene.tick(1_000_000)
    scene.injected.append(Injected(kind="kill_broker", target="broker", began_us=at_us, ended_us=at_us + 1))
    assert breaches(scene.finish()) == {"lost": 1}


def test_outage_and_recovery(scene: Scene) -> None:
    scene.got(scene.send())
    scene.tick(5_000_000)  # nothing is sent: no outage
    scene.got(scene.send())
    began_us = scene.tick()
    n = scene.send(end=None)
    ended_us = scene.tick(2_000_000)
    scene.log(SERVER, 1, SENT).write("e", scene.tick(1_000_000), 0, 0, n, *DELIVERED)
    scene._ends[SERVER, 1, 0, "delivered"] += 1
    scene.got(n)
    middle_us = (began_us + ended_us) // 2
    for span in ((began_us, middle_us), (middle_us - 1, ended_us)):
        scene.injected.append(Injected(kind="freeze", target=ANNA, began_us=span[0], ended_us=span[1]))
    found = scene.finish()
    assert breaches(found) == {}
    assert found.longest_outage_s == pytest.approx(3.0, abs=0.01)
    assert found.recovery_s == pytest.approx(1.0, abs=0.01)


def test_examples_are_bounded(scene: Scene) -> None:
    for _ in range(MAX_EXAMPLES + 5):
        scene.send()
    found = scene.finish()
    assert found.lost.total() == MAX_EXAMPLES + 5
    assert len(found.examples["lost"]) == MAX_EXAMPLES
