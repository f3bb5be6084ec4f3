"""Options and configuration files for the fields of a configuration: one source for both.

A field `hidden_size: int` becomes `--hidden-size N` and the key `hidden_size` of a YAML or TOML
file; its metadata says what stands in the help, and under which heading.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from gated.cli.file import Entry
from gated.errors import CellError, GatedError, OptionError

F = TypeVar("F", bound=Callable[..., Any])
_KINDS: dict[str, tuple[type, str]] = {
    "str": (str, "NAME"), "int": (int, "N"), "float": (float, "X"), "bool": (bool, ""),
    "tuple[str, ...]": (str, "NAME,..."), "tuple[float, ...]": (float, "X,..."),
}  # fmt: skip
_EXPECTED = {str: "text (in quotes if need be)", int: "a whole number", float: "a number",
             bool: "true or false"}  # fmt: skip
_NAMED = re.compile(r"(?:--)?([a-z][a-z_-]*)\b")


def option_name(field: str) -> str:
    """How a field is given on the command line.

    >>> option_name("hidden_size")
    '--hidden-size'
    """
    return "--" + field.replace("_", "-")


def _kind(field: dataclasses.Field[Any]) -> tuple[str, type, str]:
    name = str(field.type).removesuffix(" | None")
    return name, *_KINDS[name]


def options_for(config: type) -> Callable[[F], F]:
    """A decorator that gives a command one option for each field; what is not given is None."""

    def decorate(command: F) -> F:
        for field in reversed(dataclasses.fields(config)):
            click.option(*_declaration(field), **_attributes(field), cls=_Grouped)(command)
        return command

    return decorate


class _Grouped(click.Option):
    """An option that stands under a heading."""

    def __init__(self, *args: Any, group: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.group = group


def _declaration(field: dataclasses.Field[Any]) -> tuple[str, str]:
    option = option_name(field.name)
    return (f"{option}/--no-{option[2:]}" if field.type == "bool" else option), field.name


def _attributes(field: dataclasses.Field[Any]) -> dict[str, Any]:
    name, kind, metavar = _kind(field)
    default = _shown(field.default)
    text = f"{field.metadata['help']} [{default}]" if default else field.metadata["help"]
    found: dict[str, Any] = {"help": text, "group": field.metadata["group"].capitalize()}
    if name == "bool":
        return found | {"default": None}
    if name.startswith("tuple"):
        return found | {"multiple": True, "metavar": metavar}
    return found | {"type": kind, "default": None, "metavar": metavar}


def _shown(default: Any) -> str:
    """A default as a person would give it; empty for what is found from the data."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return _joined(default)
    return f"{default:g}" if isinstance(default, float) else str(default or "")


def _joined(values: Sequence[Any]) -> str:
    return ",".join(str(value) for value in values)


@dataclass(frozen=True)
class Options:
    """The fields that were given, and where: by the command line if not in `places`."""

    values: dict[str, Any]
    places: Mapping[str, str]

    def locate(self, error: GatedError) -> OptionError:
        """The error with the option as it is written on the command line, or its file and line."""
        if isinstance(error.__cause__, CellError):
            text = f"cell={self.values.get('cell')}: {error.__cause__}"
        else:
            text = str(error)
        match = _NAMED.match(text)
        field = match[1].replace("-", "_") if match else ""
        if field in self.places:
            return OptionError(f"{self.places[field]}: {text}")
        if field in self.values and not text.startswith("--"):
            text = re.sub(rf"^{field}=?", f"{option_name(field)} ", text).replace(" :", ":", 1)
        return OptionError(text)


def collect(config: type, command_line: Mapping[str, Any], entries: Mapping[str, Entry]) -> Options:
    """What was given for the fields of a configuration; the command line wins over the file.

    Raises:
        OptionError: a value is of the wrong kind.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for field in dataclasses.fields(config):
        given = command_line.get(field.name)
        if given is not None and given != ():
            values[field.name] = _from_texts(field, given)
        elif field.name in entries:
            entry = entries[field.name]
            values[field.name] = _from_file(field, entry)
            places[field.name] = entry.place
    return Options(values, places)


def _from_texts(field: dataclasses.Field[Any], given: Any) -> Any:
    name, kind, _ = _kind(field)
    if not name.startswith("tuple"):
        return given
    parts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    try:
        return tuple(kind(part) for part in parts)
    except ValueError:
        option = option_name(field.name)
        raise OptionError(
            f"{option} {_joined(given)}: expected {_EXPECTED[kind]}, or several with commas"
        ) from None


def _from_file(field: dataclasses.Field[Any], entry: Entry) -> Any:
    name, kind, _ = _kind(field)
    if not name.startswith("tuple"):
        return _checked(kind, entry.value, entry, field.name)
    several = entry.value if isinstance(entry.value, list) else [entry.value]
    return tuple(_checked(kind, value, entry, field.name) for value in several)


def _checked(kind: type, value: Any, entry: Entry, name: str) -> Any:
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    if kind is float and isinstance(value, str):
        with suppress(ValueError):
            return float(value)  # YAML 1.1 reads 1e-2 as text
    raise OptionError(f"{entry.place}: {name} is {value!r}, expected {_EXPECTED[kind]}")
