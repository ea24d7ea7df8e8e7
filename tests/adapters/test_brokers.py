"""The brokers of an adapter."""

from lanebus.adapters.brokers import Brokers


def test_each_has_its_turn() -> None:
    brokers = Brokers(["tcp://a:1", "tcp://b:1"])
    seen = []
    for _ in range(3):
        seen.append(brokers.present)
        brokers.next()
    assert seen == ["tcp://a:1", "tcp://b:1", "tcp://a:1"]
    assert str(brokers) == "tcp://a:1, tcp://b:1"
