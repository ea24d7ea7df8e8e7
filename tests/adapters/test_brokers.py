"""The brokers of an adapter, and what each said last."""

from lanebus.adapters.brokers import Brokers
from lanebus.wire.lanes import Lane

A, B = "tcp://a:1", "tcp://b:1"


def test_each_has_its_turn() -> None:
    brokers = Brokers([A, B])
    seen = []
    for _ in range(3):
        seen.append(brokers.present)
        brokers.failed("it does not answer")
    assert seen == [A, B, A]


def test_a_reason_is_news_when_it_is_not_what_the_same_broker_said_last() -> None:
    brokers = Brokers([A, B])
    assert [brokers.failed("refused") for _ in range(4)] == [True, True, False, False]
    assert [brokers.failed("silent"), brokers.failed("refused")] == [True, False]
    brokers.up()
    assert [brokers.failed("silent"), brokers.failed("refused")] == [True, True]


def test_a_report_names_all_and_what_they_said_last() -> None:
    brokers = Brokers([A, B, A])
    assert brokers.report() == f"{A}: no answer yet; {B}: no answer yet"
    brokers.failed("one")
    brokers.failed("two")
    brokers.failed("three")
    assert brokers.report() == f"{A}: three; {B}: two"
    assert brokers.word == f"{A}: three"
    brokers.up()
    assert brokers.word == ""


def test_a_word_has_a_limit() -> None:
    brokers = Brokers([A])
    brokers.failed("x" * 100_000)
    assert len(brokers.word) < 600


def test_a_lane_that_cannot_be_reached_is_named_with_its_address_and_the_remedy() -> None:
    brokers = Brokers([A])
    assert "no broker listens there" in brokers.unanswered(Lane.CRITICAL)
    assert "no answer for 2 s" in brokers.unanswered(Lane.CRITICAL, 2.0)
    assert brokers.dialled(Lane.LOW, "tcp://internal:7") == "tcp://internal:7"
    for silent_for_s, found in ((0.0, "refused"), (2.0, "nothing answers for 2 s")):
        said = brokers.unanswered(Lane.LOW, silent_for_s)
        assert "low lane is at tcp://internal:7" in said
        assert found in said
        assert "`advertise`" in said
