"""`config.json`: the configuration of a model or a run, and who wrote it in which format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gated.errors import CheckpointError, OptionError
from gated.training.atomic import write_atomically

FORMAT_VERSION = 1
CONFIG = "config.json"
_RESERVED = ("format_version", "gated_version", "checksum")
# How often a training saves changes nothing that it learns.
_HARMLESS = re.compile(r"([^:]*\.)?checkpoint_seconds: ")


def write_config(directory: Path, config: dict[str, Any], checksum: str | None = None) -> None:
    """Write `config.json`: the configuration, the versions and, once there is one, the model's sum.

    Raises OptionError when the configuration cannot be JSON or uses a taken name.
    """
    content = _versions() | ({"checksum": checksum} if checksum else {}) | jsonable(config)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(directory / CONFIG, text.encode())


def read_record(directory: Path) -> dict[str, Any]:
    """All of `config.json`, {} when there is none.

    Raises CheckpointError when it is no JSON object or was written by a newer gated.
    """
    path = directory / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}; undo the edit, or delete the file"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a JSON object")
    _check_version(content, path)
    return content


def split_record(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration that the caller gave, and the names that gated added."""
    config = {name: value for name, value in content.items() if name not in _RESERVED}
    return config, {name: content[name] for name in _RESERVED if name in content}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The names whose values differ, each with both values; nested names are joined by dots.

    >>> differences({"cell": "lstm", "training": {"seed": 0}}, {"training": {"seed": 1}})
    ['cell: "lstm" became absent', 'training.seed: 0 became 1']
    """
    before, after = _flat(old), _flat(new)
    return [
        f"{name}: {before.get(name, 'absent')} became {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def hindrances(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The differences that would change the result of a resumed training."""
    return [line for line in differences(old, new) if not _HARMLESS.match(line)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted names and the JSON of their values."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value)
    return flat


def jsonable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as it will be read back from JSON.

    Raises OptionError naming what cannot be JSON, or a name that gated uses itself.
    """
    taken = [name for name in _RESERVED if name in config]
    if taken:
        raise OptionError(f"the configuration uses the taken name {', '.join(taken)}; rename it")
    for name, value in config.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"configuration {name!r} cannot be written as JSON: {error}"
            ) from None
    result: dict[str, Any] = json.loads(json.dumps(dict(config)))
    return result


def about(kind: str, **rest: Any) -> dict[str, Any]:
    """What a sealed file says of itself: its kind, the versions, and the rest."""
    return {"kind": kind, **_versions(), **rest}


def check_about(found: Mapping[str, Any], path: Path, kind: str) -> None:
    """Raise CheckpointError unless the file is of this kind and of a version that can be read."""
    _check_version(found, path)
    if found.get("kind") != kind:
        raise CheckpointError(
            f"{path} is a {found.get('kind', 'file of an unknown kind')}, expected a {kind}"
        )


def _versions() -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, "gated_version": version("gated")}


def _check_version(found: Mapping[str, Any], path: Path) -> None:
    got = found.get("format_version", FORMAT_VERSION)
    if got != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {got} (written by gated "
            f"{found.get('gated_version', '?')}), but gated {version('gated')} reads version "
            f"{FORMAT_VERSION}; install a gated that reads it"
        )
