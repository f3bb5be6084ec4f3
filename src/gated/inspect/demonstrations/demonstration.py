"""What a demonstration gives back: sentences, tables and curves, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gated.inspect.demonstrations.numbers import column
from gated.inspect.demonstrations.texts import TEXTS

__all__ = ["Array", "Curves", "Demonstration", "Line", "Row", "Table", "conclude"]

Array = NDArray[np.float64]
Row: TypeAlias = tuple[str | float, ...]
POINTS = 201  # of a line, at most: a chart has no more columns


@dataclass(frozen=True)
class Line:
    """One line of a chart: x and y, each (N,) float64."""

    x: Array
    y: Array

    @classmethod
    def of(cls, x: Any, y: Any, least: float | None = None) -> Line:
        """A line thinned to at most 201 points, the ends kept; y below `least` left out."""
        xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if least is not None:
            xs, ys = xs[ys >= least], ys[ys >= least]
        kept = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), POINTS)).round().astype(int))
        return cls(xs[kept], ys[kept])


@dataclass(frozen=True)
class Curves:
    """One chart.

    Attributes:
        title, x_label, y_label: in words.
        lines: what was measured.
        bounds: what theory says, to be drawn dashed.
        log: whether the y axis is logarithmic.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Line]
    bounds: Mapping[str, Line] = field(default_factory=dict)
    log: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers under the names of their columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def texts(self) -> list[list[str]]:
        """The rows as people read them: three digits, the decimals of a column alike.

        >>> Table("", ("f", "steps", "left"), ((0.9, 100, 0.9**100),)).texts()
        [['0.9', '100', '2.66·10⁻⁵']]
        """
        return [list(row) for row in zip(*map(_column, zip(*self.rows, strict=True)), strict=True)]


@dataclass(frozen=True)
class Demonstration:
    """A claim, what was computed to test it, and what came out.

    Attributes:
        name: as `demonstrate` takes it.
        question: what is asked.
        claim: the loose claim, as it is often made.
        source: where the claim or its correction stands.
        done: what was computed, one sentence each.
        found: what came out, one sentence each, with its numbers.
        verdict: the answer, if these settings show it; else that they do not.
        holds: whether they do.
        tables, curves: the numbers behind the sentences.
        numbers: the most important ones by name.
    """

    name: str
    question: str
    claim: str
    source: str
    done: tuple[str, ...]
    found: tuple[str, ...]
    verdict: str
    holds: bool
    tables: tuple[Table, ...]
    curves: tuple[Curves, ...]
    numbers: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """All of it as lists, dictionaries, texts and numbers, as for JSON.

        >>> from gated.inspect.demonstrations import demonstrate
        >>> sorted(demonstrate("growth", steps=5).to_dict()["curves"][0])
        ['bounds', 'lines', 'log', 'title', 'x_label', 'y_label']
        """
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return content | {
            "tables": [vars(table) for table in self.tables],
            "curves": [_chart(chart) for chart in self.curves],
            "numbers": dict(self.numbers),
        }


def _column(cells: Sequence[str | float]) -> list[str]:
    shown = iter(column([cell for cell in cells if isinstance(cell, float)]))
    return [next(shown) if isinstance(cell, float) else str(cell) for cell in cells]


def _chart(chart: Curves) -> dict[str, Any]:
    def listed(lines: Mapping[str, Line]) -> dict[str, Any]:
        return {name: {"x": line.x.tolist(), "y": line.y.tolist()} for name, line in lines.items()}

    return vars(chart) | {"lines": listed(chart.lines), "bounds": listed(chart.bounds)}


def conclude(
    name: str,
    holds: bool,
    *,
    done: tuple[str, ...],
    found: tuple[str, ...],
    tables: tuple[Table, ...],
    curves: tuple[Curves, ...],
    numbers: Mapping[str, float],
) -> Demonstration:
    """A demonstration with its texts; the verdict is its answer only if the numbers bear it out."""
    said = TEXTS[name]
    verdict = said.answer if holds else "These settings do not show it; see the numbers."
    return Demonstration(
        name, said.question, said.claim, said.source, done, found, verdict, bool(holds),
        tables, curves, {key: float(value) for key, value in numbers.items()},
    )  # fmt: skip
