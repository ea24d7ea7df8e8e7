"""From a TOML file to a `Config`: the user's settings over the defaults, with errors an operator can act on."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lanebus.conf.checks import as_toml, contradiction
from lanebus.conf.model import Config
from lanebus.conf.text import TextError, lookalike, read_text

_Section = TypeVar("_Section", bound=msgspec.Struct)

DEFAULT_NAME = "default.toml"
"""The file with the defaults, beside this module."""


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
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TextError as error:
        raise ConfigError(f"{path}: {error}") from error
    return loads(text, str(path))


def loads(text: str, source: str) -> Config:
    """Build the configuration from TOML text laid over the defaults.

    `source` is what error messages call the text, usually a path. Raises `ConfigError` as `load` does.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {_one_line(str(error))}{lookalike(text)}") from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, and lists a thousand deep.
        raise ConfigError(f"{source}: cannot be settings: {_one_line(str(error))}") from error
    config = _build(Config, given, tomllib.loads(default_text()), source, "")
    problem = contradiction(config)
    if problem is not None:
        raise ConfigError(f"{source}: {problem}")
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
                f"{where} {name} = {as_toml(value)}: {problem}; "
                f"change it, or leave it out for the default {as_toml(default)}"
            ) from error
    return struct(**values)


def _suggest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the known one that looks most like it, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
