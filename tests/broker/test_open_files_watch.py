"""The alert about open files: one episode, from the first connection that has to go to a while after the last."""

from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard

from lanebus.broker.alerts import BROKER
from lanebus.broker.open_files import REMEMBERED_S, OpenFiles


def test_an_episode_lasts_from_the_first_connection_that_has_to_go_to_a_while_after_the_last() -> None:
    bench = Bench(small_config())
    heard = Heard(bench.core.alerts)
    bench.advance(2.0)
    open_files = bench.core.bus.open_files = OpenFiles(200, 60)
    bench.advance(2.0)
    assert heard.began == []
    for _ in range(3):
        open_files.missing(140, 7, bench.now)
        bench.advance(2.0)
    assert (heard.began, heard.kinds, heard.ended) == ([BROKER], ["open_files"], [])
    assert "its open files are used up" in {symptom.name for symptom in bench.core.bus.symptoms}
    bench.advance(REMEMBERED_S)
    assert heard.ended == [BROKER]
    (alert,) = bench.core.alerts
    assert alert.figures["peak_open_files"] == 200
    assert alert.figures["strangers"] == 7
    assert bench.core.bus.symptoms == []


def test_where_there_is_no_limit_nothing_is_watched() -> None:
    bench = Bench(small_config())
    heard = Heard(bench.core.alerts)
    bench.core.bus.open_files = OpenFiles(None, 60)
    bench.advance(3.0)
    assert heard.began == []
