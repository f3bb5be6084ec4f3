"""Where in the data each unit is most active."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gated.equations import Cell
from gated.inspect.explorer.views import Tops

__all__ = ["Best", "Search", "activity_of"]

Array = NDArray[Any]
_Found = TypeVar("_Found")
_COUNT = 5
_AROUND = 16  # steps before and after


@dataclass(frozen=True)
class Search:
    """What to search for the units' largest activations.

    Attributes:
        batches: each what the model takes, as `x` of `view`: a tensor or a tuple of arguments.
        label: from the row's number over all batches and the step to words, "shop A, 2024-03-05".
        shown: (N, T) the input to draw beside the unit, for the rows of all batches.
        source: what was searched, "300 held-out windows".
        at: from the row's number and the step to the step of the view, None if it shows another
            place. Not given: none of them is shown.
    """

    batches: Sequence[Any]
    label: Callable[[int, int], str]
    shown: Array
    source: str = ""
    at: Callable[[int, int], int | None] | None = None


def activity_of(cell: Cell) -> str:
    """The value that says how active a unit is: the state that it keeps, else its output."""
    return next(iter(cell.kept), cell.states[0].name)


class Best:
    """The places of largest |value| of each unit, kept while batches go by.

    A row counts once for each unit, by its largest step: else neighbours would fill the list.
    """

    def __init__(self, name: str, search: Search, count: int = _COUNT):
        self.name, self.search, self.count = name, search, count
        self._value: Array | None = None  # (H, <= count), the largest first
        self._place: Array  # (H, <= count, 2): row over all batches, step
        self._around: Array  # (H, <= count, W)
        self._rows = 0

    def add(self, values: Array, lengths: Array) -> None:
        """Take a batch: values (B, T, H) of rows with so many valid steps."""
        rows, steps, units = values.shape
        valid = np.arange(steps) < np.asarray(lengths)[:, None]
        size = np.where(valid[..., None], np.abs(values), -1.0)
        at = size.argmax(axis=1)  # (B, H)
        best = np.take_along_axis(values, at[:, None], 1)[:, 0]
        chosen = np.argsort(-np.abs(best), axis=0, kind="stable")[: self.count].T  # (H, K)
        unit = np.arange(units)[:, None]
        step = at.T[unit, chosen]
        window = step[..., None] + np.arange(-_AROUND, _AROUND + 1)
        inside = (window >= 0) & (window < np.asarray(lengths)[chosen][..., None])
        around = values[chosen[..., None], window.clip(0, steps - 1), unit[..., None]]
        found = (
            best.T[unit, chosen],
            np.stack([self._rows + chosen, step], -1),
            np.where(inside, around, np.nan),
        )
        self._rows += rows
        self._merge(*found)

    def _merge(self, value: Array, place: Array, around: Array) -> None:
        if self._value is not None:
            value = np.concatenate([self._value, value], 1)
            place = np.concatenate([self._place, place], 1)
            around = np.concatenate([self._around, around], 1)
        order = np.argsort(-np.abs(value), axis=1, kind="stable")[:, : self.count]
        self._value = np.take_along_axis(value, order, 1)
        self._place = np.take_along_axis(place, order[..., None], 1)
        self._around = np.take_along_axis(around, order[..., None], 1)

    def tops(self) -> Tops | None:
        """What was found; None before the first batch."""
        if self._value is None:
            return None
        row, step = self._place[..., 0], self._place[..., 1]
        window = step[..., None] + np.arange(-_AROUND, _AROUND + 1)
        shown = np.asarray(self.search.shown, np.float32)
        last = shown.shape[1] - 1
        beside = shown[row[..., None], window.clip(0, last)]

        def places(find: Callable[[int, int], _Found]) -> list[list[_Found]]:
            pairs = zip(row, step, strict=True)
            return [[find(int(r), int(s)) for r, s in zip(*pair, strict=True)] for pair in pairs]

        return Tops(
            of=f"|{self.name}|",
            values=self._value,
            labels=places(self.search.label),
            activity=self._around,
            inputs=np.where((window >= 0) & (window <= last), beside, np.nan),
            middle=_AROUND,
            source=self.search.source,
            steps=None if self.search.at is None else places(self.search.at),
        )
