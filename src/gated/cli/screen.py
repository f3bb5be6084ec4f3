"""What a command prints: results to stdout, the rest to stderr; with --json one object alone."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


class Screen:
    """Prints for a person (colours and boxes only on a terminal) or, with `as_json`, for programs.

    Args:
        as_json: stdout gets one JSON object and nothing else; remarks go to stderr.
        quiet: no remarks.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False):
        self.as_json, self.quiet = as_json, quiet

    def remark(self, lines: Iterable[str] = ("",)) -> None:
        """Lines that tell what is going on."""
        if not self.quiet:
            self._print(lines, style="", err=self.as_json)

    def result(self, lines: Iterable[str] = ("",), style: str = "") -> None:
        """Lines that were asked for."""
        if not self.as_json:
            self._print(lines, style=style, err=False)

    def table(
        self, names: Sequence[str], rows: Sequence[Sequence[str]], *, bold: Iterable[int] = ()
    ) -> None:
        """A table; the first column to the left, columns of numbers to the right.

        On a terminal it is fitted to the width; elsewhere every row is one line of text.
        """
        if self.as_json:
            return
        right = [all(_is_figure(row[k]) for row in rows) for k in range(len(names))]
        if sys.stdout.isatty() and _fits(names, rows, right, _console().width):
            _rich_table(names, rows, right, set(bold))
        else:
            self._print(_plain_table(names, rows, right), style="", err=False)

    def json(self, content: Mapping[str, Any]) -> None:
        """The object, if --json was given."""
        if self.as_json:
            click.echo(json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False))

    def _print(self, lines: Iterable[str], *, style: str, err: bool) -> None:
        stream = sys.stderr if err else sys.stdout
        for line in lines:
            if style and stream.isatty():
                _console(err).print(line, style=style, markup=False, highlight=False)
            else:
                click.echo(line, err=err)


def plain(value: Any) -> Any:
    """A value as JSON knows it: what is not a finite number becomes null.

    >>> plain({"a": (1, float("nan"))})
    {'a': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    # NumPy's arrays and numbers; whatever else there is, such as a time, is text
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _console(err: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=err)


_PROSE = 24  # a column of sentences can be narrowed to this, others not at all


def _fits(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], width: int
) -> bool:
    """Whether a terminal has room for every figure: half a number is worse than a long line."""
    least = [
        min(max(len(row[k]) for row in [_header(names), *rows]), width if right[k] else _PROSE)
        for k in range(len(names))
    ]
    return sum(least) + len(least) + 1 <= width


def _header(names: Sequence[str]) -> list[str]:
    """For each name its longest word: names are broken between words."""
    return [max(name.split(), key=len) for name in names]


def _rich_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], bold: set[int]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for k, name in enumerate(names):
        justify: Any = "right" if right[k] else "left"
        wide = max(len(row[k]) for row in rows)
        table.add_column(
            Text(name.replace(" ", "\n") if right[k] else name),
            justify=justify,
            no_wrap=wide <= _PROSE,
            vertical="bottom",
        )
    for k, row in enumerate(rows):
        table.add_row(*map(Text, row), style="bold" if k in bold else "")
    _console().print(table)


def _plain_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> list[str]:
    cells = [names, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    return [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _is_figure(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in "−-–∞"
