"""A YAML or TOML file of options, each with the line where it stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gated.cells import nearest
from gated.errors import DataError, OptionError

_KEY = re.compile(r"""\s*\[*["']?([A-Za-z0-9_-]+)["']?\s*[=\]]""")


@dataclass(frozen=True)
class Entry:
    """The value of an option and where it stands: "settings.yaml, line 3"."""

    value: Any
    place: str


def read_options(path: str, known: Sequence[str]) -> dict[str, Entry]:
    """The options of a file, by their names with underscores; null means not given.

    Raises:
        DataError: the file cannot be read; names the line.
        OptionError: it holds a name that is not in `known`, or one twice.
    """
    text = _text(path)
    suffix = Path(path).suffix.lower()
    if suffix not in (".yaml", ".yml", ".toml"):
        raise OptionError(f"--config {path}: expected a file named .yaml, .yml or .toml")
    read = _toml if suffix == ".toml" else _yaml
    found: dict[str, Entry] = {}
    for key, value, line in read(text, path):
        place = f"{path}, line {line}"
        name = key.replace("-", "_")
        if name not in known:
            raise OptionError(f"{place}: there is no option {key!r}{nearest(name, known)}")
        if name in found:
            raise OptionError(f"{place}: {key!r} stands here again; keep one of them")
        if value is not None:
            found[name] = Entry(value, place)
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"--config {path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: this is not UTF-8; convert the file") from None
    except OSError as error:
        raise DataError(f"--config {path}: cannot be read: {error.strerror}") from None


def _yaml(text: str, path: str) -> list[tuple[str, Any, int]]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DataError(
            f"{path}, line {line}: no YAML: {error.problem or error.context}; "
            "expected lines such as `horizon: 24`"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: no YAML: {error}; expected `horizon: 24`") from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode) or not isinstance(content, dict):
        raise DataError(
            f"{path}, line {root.start_mark.line + 1}: a list or a single value; "
            "expected lines such as `horizon: 24`"
        )
    found = []
    for key, _ in root.value:
        name = str(key.value)
        found.append((name, content.get(name), key.start_mark.line + 1))
    return found


def _toml(text: str, path: str) -> list[tuple[str, Any, int]]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = int(where[1]) if where else text.count("\n") + 1
        problem = re.sub(r" \(at .*\)", "", str(error))
        raise DataError(
            f"{path}, line {line}: no TOML: {problem}; expected lines such as `horizon = 24`"
        ) from None
    lines: dict[str, int] = {}
    for number, line_text in enumerate(text.splitlines(), 1):
        if match := _KEY.match(line_text):
            lines.setdefault(match[1], number)
    # a table's name stands in brackets, not before an equals sign
    return [(key, value, lines.get(key, 1)) for key, value in content.items()]
