"""The loader: overlay on the defaults, and one-line errors that name the place and the remedy."""

import re
from pathlib import Path

import pytest

from lanebus.conf.load import ConfigError, load, loads
from lanebus.conf.model import Config, LaneConfig


def test_no_file_gives_the_defaults() -> None:
    assert load(None) == Config()


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_text("")
    assert load(path) == Config()


def test_a_file_replaces_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_text('[broker]\nhost = "*"\n[lanes.normal]\nport = 6000\n[limits]\ndestinations = 3\n')
    config = load(path)
    assert config.broker.host == "*"
    assert config.broker.name == "lanebus"
    assert config.lanes.normal == LaneConfig(port=6000, interval_ms=50.0, hold_ms=45.0)
    assert config.lanes.critical == Config().lanes.critical
    assert config.limits.destinations == 3
    assert config.limits.groups_per_session == 256


def test_whole_numbers_are_legal_where_fractions_are() -> None:
    assert loads("[sessions]\ngrace_s = 5", "x").sessions.grace_s == 5.0


def test_port_zero_is_legal_everywhere() -> None:
    text = "".join(f"[{section}]\nport = 0\n" for section in ("lanes.critical", "lanes.normal", "lanes.low"))
    assert loads(text + "[control]\nport = 0\n", "x") == Config().on_free_ports()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lane]", "x: there is no section 'lane'; did you mean 'lanes'?"),
        ("[zzz]", r"x: there is no section 'zzz'; known here: alerts, broker, compression, .*, window"),
        ("port = 1", r"x: there is no setting 'port'; known here: .*"),
        ("[lanes.urgent]", r"x: \[lanes\]: there is no section 'urgent'; known here: critical, low, normal"),
        ("[control]\nprot = 1", r"x: \[control\]: there is no setting 'prot'; did you mean 'port'\?"),
        ("broker = 1", r"x: 'broker' is a section, not a setting; write \[broker\] above its settings"),
        (
            "[lanes]\nlow = 1",
            r"x: \[lanes\]: 'low' is a section, not a setting; write \[lanes.low\] above .*",
        ),
        (
            "[lanes.low]\nport = 70000",
            r"x: \[lanes.low\] port = 70000: expected int <= 65535; change it, or leave it out for the default 5572",
        ),
        (
            '[control]\nport = "5"',
            r'x: \[control\] port = "5": expected int, got str; change it, .* default 5573',
        ),
        (
            "[window]\nbatches = true",
            r"x: \[window\] batches = true: expected int, got bool; .* default 64",
        ),
        (
            '[log]\nlevel = "loud"',
            r"""x: \[log\] level = "loud": invalid enum value 'loud'; .* default "info\"""",
        ),
        (
            "[sessions]\ngrace_s = nan",
            r"x: \[sessions\] grace_s = NaN: expected float >= 0.01; .* default 30.0",
        ),
        ("[sessions]\ngrace_s = 1979-05-27", r'x: \[sessions\] grace_s = "1979-05-27": expected float, .*'),
        (
            f'[broker]\nname = "{"n" * 99}"',
            r'x: \[broker\] name = "n{56}\.\.\.: expected str of length <= 64; .*',
        ),
        ("[broker\n", r"x: is not TOML: .*line 1.*"),
        (
            "[lanes.critical]\nhold_ms = 17",
            r"x: \[lanes.critical\] hold_ms = 17.0 is more than \[lanes.critical\] interval_ms = 16.0; lower .*",
        ),
        (
            "[sessions]\nlease_s = 1",
            r"x: \[sessions\] ping_interval_s = 2.0 is more than \[sessions\] lease_s = 1.0; .*",
        ),
        (
            "[limits]\nevent_bytes = 2_000_000",
            r"x: \[limits\] event_bytes = 2000000 is more than \[limits\] frame_bytes = 1048576; .*",
        ),
        (
            "[quality]\nexcellent_loss_percent = 3",
            r"x: \[quality\] excellent_loss_percent = 3.0 is more than \[quality\] good_loss_percent = 2.5; .*",
        ),
        (
            "[quality]\nwindow_s = 9",
            r"x: \[quality\] window_s = 9.0 holds fewer than min_samples = 5 pings, one each 2.0 s; raise it to 10 .*",
        ),
        (
            "[policy.client]\nqueue_bytes = 1000",
            r"x: \[policy.client\] queue_bytes = 1000 is less than \[limits\] event_bytes = 262144: .*; raise it, .*",
        ),
        (
            '[policy]\npeers = [{ match = "player:*", queue_bytes = 9 }]',
            r"x: \[policy\] peers player:\*: queue_bytes = 9 is less than \[limits\] event_bytes = 262144: .*",
        ),
        (
            '[policy]\nclient_may_address = ["42"]',
            r'x: \[policy\] client_may_address = \["42"\]: expected str matching regex .*',
        ),
        (
            '[policy]\nclient_may_address = ["members:room:*"]',
            r'x: \[policy\] client_may_address = \["members:room:\*"\]: expected str matching regex .*',
        ),
        (
            "[control]\nport = 5570",
            r"x: \[control\] port = 5570 is also \[lanes.critical\] port; give each a port of its own",
        ),
        ('[control]\nhost = "0.0.0.0"', r'x: \[control\] host = "0.0.0.0" is not a loopback address; use .*'),
        ('[control]\nhost = "eth0"', r'x: \[control\] host = "eth0" is not a loopback address; use .*'),
    ],
)
def test_errors_name_the_place_and_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, "x")
    assert re.fullmatch(
        message if "\\" in message or ".*" in message else re.escape(message), str(caught.value)
    )
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file or directory"):
        load(path)


def test_a_file_that_is_not_utf8_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[broker]\nname = "\xe9"\n')
    with pytest.raises(ConfigError, match=r"is not UTF-8 in line 2 \(byte 0xe9\); save it as UTF-8"):
        load(path)


@pytest.mark.parametrize(
    "url", ["", "http://localhost:8080", "https://[::1]/alerts?token=x", "https://a.b/c"]
)
def test_a_webhook_is_any_http_or_https_address(url: str) -> None:
    assert loads(f'[alerts]\nwebhook_url = "{url}"', "x").alerts.webhook_url == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://a.b/c", "is no http or https address"),
        ("a.b/c", "is no http or https address"),
        ("https:///c", "is no http or https address"),
        ("http://a.b:0/", "is no http or https address"),
        ("http://a.b:99999/", "is no address: Port out of range"),
        ("http://[::1/", "is no address: Invalid IPv6"),
        ("http://a.b/two words", "holds characters that an address must not have"),
        ("http://a.b/\\u00e9", "holds characters that an address must not have"),
        ("http://me:secret@a.b/", "names a user, which is not sent"),
    ],
)
def test_a_webhook_of_another_kind_is_refused_with_the_remedy(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"x: \[alerts\] webhook_url = .* {problem}.*; write it like"):
        loads(f'[alerts]\nwebhook_url = "{url}"', "x")
