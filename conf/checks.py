"""What is wrong with settings that are each of the right type: by what they say, and beside one another."""

from __future__ import annotations

import functools
import ipaddress
import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from lanebus.conf.hosts import bind_problem, dial_problem
from lanebus.conf.model import Config
from lanebus.conf.policy import PeerPolicy, Policy

_AT_MOST: Final = (
    ("lanes.critical.hold_ms", "lanes.critical.interval_ms"),
    ("lanes.normal.hold_ms", "lanes.normal.interval_ms"),
    ("lanes.low.hold_ms", "lanes.low.interval_ms"),
    # One event has to fit into one message, one window and one credit, or it could never be sent.
    ("limits.event_bytes", "limits.frame_bytes"),
    ("limits.frame_bytes", "limits.raw_bytes"),
    ("limits.frame_bytes", "window.bytes"),
    ("limits.event_bytes", "egress.budget_bytes"),
    ("limits.event_bytes", "egress.credit_bytes"),
    ("limits.event_bytes", "egress.queue_bytes"),
    ("egress.batch_bytes", "limits.frame_bytes"),
    # A link has to be pinged before its silence counts as a loss.
    ("sessions.ping_interval_s", "sessions.lease_s"),
    ("quality.excellent_rtt_ms", "quality.good_rtt_ms"),
    ("quality.good_rtt_ms", "quality.fair_rtt_ms"),
    ("quality.excellent_jitter_ms", "quality.good_jitter_ms"),
    ("quality.good_jitter_ms", "quality.fair_jitter_ms"),
    ("quality.excellent_loss_percent", "quality.good_loss_percent"),
    ("quality.good_loss_percent", "quality.fair_loss_percent"),
    ("quality.excellent_queue_ms", "quality.good_queue_ms"),
    ("quality.good_queue_ms", "quality.fair_queue_ms"),
)
"""Pairs of settings of which the first must not be larger than the second."""

_PORTS: Final = ("lanes.critical.port", "lanes.normal.port", "lanes.low.port", "control.port")

EVENT_ROOM_BYTES: Final = 1_024
"""What an event takes in a message besides its payload: its topic, its destination, and the message's own head."""

LEAST_RATE: Final = 0.01
"""The smallest rate that is one: below it nothing passes in a minute. 0 is no limit."""

CONTROL_MESSAGE_BYTES: Final = 128
"""What a ping, or the answer to one, takes at most."""

_SESSIONS: Final = ("player:", "server:")
"""How the full names begin of those who have sessions."""


def contradiction(config: Config) -> str | None:
    """The first thing that is wrong, with the remedy, in one line; None when nothing is.

    What passes here can be bound on a machine with the named addresses, and serves peers that follow the protocol.
    """
    return next(_problems(config), None)


def _problems(config: Config) -> Iterator[str]:
    yield from _pairs(config)
    yield from _sizes(config)
    yield from _policies(config)
    yield from _patterns(config)
    yield from _ports(config)
    yield from _texts(config)


def _pairs(config: Config) -> Iterator[str]:
    for smaller, larger in _AT_MOST:
        low, high = _get(config, smaller), _get(config, larger)
        if low > high:
            yield (
                f"{_label(smaller)} = {as_toml(low)} is more than {_label(larger)} = {as_toml(high)}; "
                "lower the first or raise the second"
            )
    quality, sessions = config.quality, config.sessions
    samples_s = quality.min_samples * sessions.ping_interval_s
    if samples_s > quality.window_s:
        yield (
            f"[quality] window_s = {as_toml(quality.window_s)} holds fewer than min_samples = "
            f"{quality.min_samples} pings, one each {as_toml(sessions.ping_interval_s)} s; "
            f"raise it to {samples_s:g} at least, or lower min_samples"
        )


def _sizes(config: Config) -> Iterator[str]:
    # A batch leaves at `batch_bytes`, with the event that has taken it there.
    batch_bytes, limits = config.egress.batch_bytes, config.limits
    least_bytes = batch_bytes + limits.event_bytes + EVENT_ROOM_BYTES
    if limits.frame_bytes < least_bytes:
        yield (
            f"[limits] frame_bytes = {limits.frame_bytes} has no room for a batch of [egress] batch_bytes = "
            f"{batch_bytes} that ends with an event of [limits] event_bytes = {limits.event_bytes}; "
            f"raise it to {least_bytes} at least, or lower one of the others"
        )


def _policies(config: Config) -> Iterator[str]:
    limits, policy = config.limits, config.policy
    yield from _rates("[limits]", limits)
    yield from _rates("[policy]", policy)
    for topic in policy.topics:
        yield from _rates(f"[policy] topics {topic.match}:", topic)
    owners: list[tuple[str, Policy | PeerPolicy]] = [
        ("[policy.client]", policy.client),
        ("[policy.server]", policy.server),
        *((f"[policy] peers {peer.match}:", peer) for peer in policy.peers),
    ]
    for where, each in owners:
        yield from _rates(where, each)
        if each.queue_bytes and each.queue_bytes < limits.event_bytes:
            yield (
                f"{where} queue_bytes = {each.queue_bytes} is less than [limits] event_bytes = "
                f"{limits.event_bytes}: an event of that size could not wait; raise it, or lower the other"
            )
        if each.event_bytes and each.event_bytes > limits.event_bytes:
            yield (
                f"{where} event_bytes = {each.event_bytes} is more than [limits] event_bytes = "
                f"{limits.event_bytes}, which holds for all; lower it, or raise the other"
            )
        yield from _needs(config, where, each)


def _rates(where: str, section: msgspec.Struct) -> Iterator[str]:
    for name in section.__struct_fields__:
        rate = getattr(section, name)
        if name.endswith("_per_s") and rate and rate < LEAST_RATE:
            yield (
                f"{where} {name} = {as_toml(rate)} lets nothing pass; "
                f"raise it to {LEAST_RATE} at least, or write 0 where that is no limit"
            )


def _needs(config: Config, where: str, policy: Policy | PeerPolicy) -> Iterator[str]:
    """Limits that a peer breaks which does what the protocol asks of it: it pings each link, and answers pings."""
    ping_interval_s = config.sessions.ping_interval_s
    messages_per_s = 1 + 6 / ping_interval_s
    bytes_per_s = messages_per_s * CONTROL_MESSAGE_BYTES
    needed = {"control_messages_per_s": messages_per_s, "control_bytes_per_s": bytes_per_s}
    for name, least in needed.items():
        limit = getattr(policy, name)
        if limit and limit < least:
            yield (
                f"{where} {name} = {as_toml(limit)} is less than the pings take of a peer that follows the protocol, "
                f"with [sessions] ping_interval_s = {as_toml(ping_interval_s)}; raise it to {least:.1f} at least"
            )
    # Past the one links end: before that, what is over the other has to be able to wait.
    up, raw = policy.up_bytes_per_s, policy.raw_bytes_per_s
    if up and raw and raw < up + bytes_per_s:
        yield (
            f"{where} raw_bytes_per_s = {as_toml(raw)} ends the links of who sends up_bytes_per_s = {as_toml(up)}; "
            f"raise it to {up + bytes_per_s:.0f} at least, or lower the other"
        )


def _patterns(config: Config) -> Iterator[str]:
    for peer in config.policy.peers:
        if not any(_may_match(peer.match, beginning) for beginning in _SESSIONS):
            yield (
                f"[policy] peers match = {as_toml(peer.match)} is nobody's name; "
                f'write a full one: "player:{peer.match}" or "server:{peer.match}"'
            )
    for group in config.groups.client_may_join:
        if group.startswith("group:"):
            yield (
                f"[groups] client_may_join {as_toml(group)} is written without its kind; "
                f"write {as_toml(group.removeprefix('group:'))}"
            )


def _may_match(pattern: str, beginning: str) -> bool:
    """Whether a pattern can match a name that begins so and goes on."""
    fixed, star, _ = pattern.partition("*")
    if star:
        return fixed.startswith(beginning) or beginning.startswith(fixed)
    return pattern.startswith(beginning) and pattern != beginning


def _ports(config: Config) -> Iterator[str]:
    owners: dict[int, str] = {}
    for name in _PORTS:
        port = _get(config, name)
        if port == 0:
            continue
        if port in owners:
            yield f"{_label(name)} = {port} is also {_label(owners[port])}; give each a port of its own"
        owners[port] = name


def _texts(config: Config) -> Iterator[str]:
    broker = config.broker
    if not broker.name.isprintable() or broker.name != broker.name.strip():
        yield (
            f"[broker] name = {as_toml(broker.name)} has blanks around it, or characters that cannot be shown; "
            "leave them out"
        )
    problem = bind_problem(broker.host)
    if problem is not None:
        yield (
            f"[broker] host = {as_toml(broker.host)} {problem}; "
            'write an IP address, the name of a network interface, or "*" for all'
        )
    problem = dial_problem(broker.advertise) if broker.advertise else None
    if problem is not None:
        yield (
            f"[broker] advertise = {as_toml(broker.advertise)} {problem}; "
            'write what peers can dial, such as "203.0.113.7" or "bus.example.com", or "" for what they dialled'
        )
    if not _is_loopback(config.control.host):
        yield (
            f"[control] host = {as_toml(config.control.host)} is not a loopback address; "
            'use "127.0.0.1" or "::1"'
        )
    problem = _webhook_problem(config.alerts.webhook_url)
    if problem is not None:
        yield (
            f"[alerts] webhook_url = {as_toml(config.alerts.webhook_url)} {problem}; "
            'write it like "https://host/path", or "" for none'
        )


def _get(config: Config, path: str) -> Any:
    """Return the setting with a dotted name."""
    return functools.reduce(getattr, path.split("."), config)


def _label(path: str) -> str:
    """Return a setting's dotted name as the file writes it: the section in brackets."""
    section, _, field = path.rpartition(".")
    return f"[{section}] {field}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _webhook_problem(url: str) -> str | None:
    """Return what is wrong with the address of a webhook."""
    if not url:
        return None
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds characters that an address must not have"
    try:
        address = urlsplit(url)
        port_is_legal = address.port != 0
    except ValueError as error:
        return f"is no address: {error}"
    if address.scheme not in ("http", "https") or not address.hostname or not port_is_legal:
        return "is no http or https address"
    if address.username is not None:
        return "names a user, which is not sent"
    problem = dial_problem(address.hostname)
    return None if problem is None else f"names a host that {problem}"


def as_toml(value: object) -> str:
    """Return a value roughly as a TOML file writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
