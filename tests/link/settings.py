"""Configurations of a world: windows, credits and limits that a few events use up."""

from lanebus.conf.model import Config, EgressConfig, SessionsConfig, WindowConfig
from lanebus.conf.policy import Policy, PolicyConfig

CONTROL_PER_S = 50.0
CONTROL_BYTES_PER_S = 65_536.0
"""What a player's process may say besides, by default: nobody here is ever over it."""
UNLIMITED = PolicyConfig(
    client=Policy(control_messages_per_s=CONTROL_PER_S, control_bytes_per_s=CONTROL_BYTES_PER_S)
)
STRICT = PolicyConfig(
    client=Policy(
        events_per_s=20.0,
        events_burst=8,
        up_bytes_per_s=3_000.0,
        down_bytes_per_s=2_000.0,
        bytes_burst_s=1.0,
        control_messages_per_s=CONTROL_PER_S,
        control_bytes_per_s=CONTROL_BYTES_PER_S,
    ),
    server=Policy(
        events_per_s=60.0,
        events_burst=16,
        up_bytes_per_s=9_000.0,
        down_bytes_per_s=6_000.0,
        bytes_burst_s=0.5,
        control_messages_per_s=CONTROL_PER_S,
        control_bytes_per_s=CONTROL_BYTES_PER_S,
    ),
)
"""Limits that everybody is over all the time."""


def small_config(*, grace_s: float, recovery_s: float, queue_bytes: int, policy: PolicyConfig) -> Config:
    """Windows and credits so small that a few events fill them."""
    return Config(
        policy=policy,
        sessions=SessionsConfig(grace_s=grace_s, recovery_s=recovery_s, ping_interval_s=0.5, lease_s=1.5),
        window=WindowConfig(batches=4, bytes=1 << 20, control_interval_ms=100.0),
        egress=EgressConfig(batch_bytes=1024, credit_bytes=2048, queue_bytes=queue_bytes, age_s=1000.0),
    )
