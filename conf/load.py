"""From a TOML file to a `Config`: the user's settings over the defaults, with errors an operator can act on."""

import difflib
import functools
import ipaddress
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from lanebus.conf.model import Config

_Section = TypeVar("_Section", bound=msgspec.Struct)

DEFAULT_NAME = "default.toml"
"""The file with the defaults, beside this module."""

_AT_MOST = (
    ("lanes.critical.hold_ms", "lanes.critical.interval_ms"),
    ("lanes.normal.hold_ms", "lanes.normal.interval_ms"),
    ("lanes.low.hold_ms", "lanes.low.interval_ms"),
    # One event has to fit into one message, one window and one credit, or it could never be sent.
    ("limits.event_bytes", "limits.frame_bytes"),
    ("limits.frame_bytes", "limits.raw_bytes"),
    ("limits.frame_bytes", "window.bytes"),
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

_PORTS = ("lanes.critical.port", "lanes.normal.port", "lanes.low.port", "control.port")


class ConfigError(Exception):
    """A configuration that cannot be used; its text is one line with file, section, field and remedy."""


def default_text() -> str:
    """Return the text of the default file."""
    return resources.files("lanebus.conf").joinpath(DEFAULT_NAME).read_text(encoding="utf-8")


def load(path: Path | None) -> Config:
    """Read the configuration.

    `path` is a TOML file whose settings replace the defaults; sections and fields it leaves out keep theirs. With
    None the defaults themselves are returned. Raises `ConfigError` when the file cannot be read, is not TOML, or
    holds a setting that is unknown, of the wrong type, out of bounds, or at odds with another one.
    """
    if path is None:
        return loads("", DEFAULT_NAME)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    return loads(text, str(path))


def loads(text: str, source: str) -> Config:
    """Build the configuration from TOML text laid over the defaults.

    `source` is what error messages call the text, usually a path. Raises `ConfigError` as `load` does.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {_one_line(str(error))}") from error
    config = _build(Config, given, tomllib.loads(default_text()), source, "")
    _check(config, source)
    return config


def _build(
    struct: type[_Section], given: Mapping[str, Any], defaults: Mapping[str, Any], source: str, section: str
) -> _Section:
    """Build one section, and those inside it, from the given settings, and the defaults for the rest."""
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    where = f"{source}: [{section}]" if section else source
    for name in given:
        if name not in fields:
            noun = "section" if isinstance(given[name], dict) else "setting"
            raise ConfigError(f"{where}: there is no {noun} {name!r}; {_suggest(name, fields)}")

    values: dict[str, Any] = {}
    for name, kind in fields.items():
        default = defaults[name]
        value = given.get(name, default)
        if isinstance(default, dict):
            inner = f"{section}.{name}" if section else name
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{where}: {name!r} is a section, not a setting; write [{inner}] above its settings"
                )
            values[name] = _build(kind, value, default, source, inner)
            continue
        try:
            values[name] = msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            problem = _one_line(str(error)).replace("`", "")
            problem = problem[:1].lower() + problem[1:]
            raise ConfigError(
                f"{where} {name} = {_toml(value)}: {problem}; "
                f"change it, or leave it out for the default {_toml(default)}"
            ) from error
    return struct(**values)


def _check(config: Config, source: str) -> None:
    """Raise `ConfigError` for settings that are each legal but not together."""
    for smaller, larger in _AT_MOST:
        low, high = _get(config, smaller), _get(config, larger)
        if low > high:
            raise ConfigError(
                f"{source}: {_label(smaller)} = {_toml(low)} is more than {_label(larger)} = {_toml(high)}; "
                "lower the first or raise the second"
            )
    samples_s = config.quality.min_samples * config.sessions.ping_interval_s
    if samples_s > config.quality.window_s:
        raise ConfigError(
            f"{source}: [quality] window_s = {_toml(config.quality.window_s)} holds fewer than min_samples = "
            f"{config.quality.min_samples} pings, one each {_toml(config.sessions.ping_interval_s)} s; "
            f"raise it to {samples_s:g} at least, or lower min_samples"
        )
    problem = _webhook_problem(config.alerts.webhook_url)
    if problem:
        raise ConfigError(
            f"{source}: [alerts] webhook_url = {_toml(config.alerts.webhook_url)} {problem}; "
            'write it like "https://host/path", or "" for none'
        )
    policy = config.policy
    for where, queue_bytes in (
        ("[policy.client]", policy.client.queue_bytes),
        ("[policy.server]", policy.server.queue_bytes),
        *((f"[policy] peers {peer.match}:", peer.queue_bytes) for peer in policy.peers),
    ):
        if queue_bytes and queue_bytes < config.limits.event_bytes:
            raise ConfigError(
                f"{source}: {where} queue_bytes = {queue_bytes} is less than [limits] event_bytes = "
                f"{config.limits.event_bytes}: an event of that size could not wait; raise it, or lower the other"
            )
    owners: dict[int, str] = {}
    for name in _PORTS:
        port = _get(config, name)
        if port == 0:
            continue
        if port in owners:
            raise ConfigError(
                f"{source}: {_label(name)} = {port} is also {_label(owners[port])}; give each a port of its own"
            )
        owners[port] = name
    if not _is_loopback(config.control.host):
        raise ConfigError(
            f"{source}: [control] host = {_toml(config.control.host)} is not a loopback address; "
            'use "127.0.0.1" or "::1"'
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
    return None


def _suggest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the known one that looks most like it, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names)}"


def _toml(value: object) -> str:
    """Return a value roughly as a TOML file writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _one_line(text: str) -> str:
    return " ".join(text.split())
