"""The welcome says what the configuration says, in the units of the wire."""

from lanebus.broker.attachment import Attachment
from lanebus.broker.welcome import make_welcome
from lanebus.conf.model import Config, LimitsConfig, SessionsConfig
from lanebus.wire.names import Role


def test_a_peer_is_told_the_limits_and_times_of_the_configuration() -> None:
    config = Config(limits=LimitsConfig(batch_events=99), sessions=SessionsConfig(ping_interval_s=1.5))
    attachment = Attachment("server:a", Role.SERVER, b"process", b"token", 0.0)
    attachment.generation = 4
    welcome = make_welcome(
        config, b"epoch", attachment, (1, 2, 3), event_bytes=700, resumed=True, clock=77, revoked=[]
    )
    assert welcome.limits.batch_events == 99
    assert welcome.limits.event_bytes == 700
    assert welcome.ping_interval_ms == 1500.0
    assert welcome.intervals_ms == [16.0, 50.0, 200.0]
    assert welcome.holds_ms == [12.0, 45.0, 190.0]
    assert (welcome.epoch, welcome.token, welcome.ports) == (b"epoch", b"token", [1, 2, 3])
    assert (welcome.resumed, welcome.generation, welcome.clock) == (True, 4, 77)
