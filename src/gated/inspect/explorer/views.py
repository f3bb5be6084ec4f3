"""What the explorer shows, as plain data: a task fills these, or `explorer.view` from a model.

ExplorerView
├── time, inputs        one time axis, and what the model read
└── PlaceView           one layer in one direction
    ├── values          every gate and state, step by step
    ├── parameters, x   from which the page computes any step again
    ├── UnitMeasure     one number a unit, by which units can be sorted
    ├── Curve           one number a step, as the gradient that flows back
    ├── clamped         what fixing a gate of one unit does to the metric
    └── Tops            where in the data a unit is most active
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.equations import Cell
from gated.errors import ShapeError

__all__ = ["Curve", "ExplorerView", "Metric", "PlaceView", "Tops", "UnitMeasure"]

Array = NDArray[Any]


@dataclass(frozen=True)
class UnitMeasure:
    """One number a unit, (H,); NaN where it is not known.

    ``text`` says in one sentence what it means, ``limits`` where it misleads.
    """

    name: str
    values: Array
    text: str = ""
    limits: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Curve:
    """One number a step, (T,), of a state: ``state`` "c", ``kind`` "total" or "direct path"."""

    state: str
    kind: str
    values: Array


@dataclass(frozen=True)
class Metric:
    """The task's own metric: its name, its value with nothing clamped, and which way is better.

    ``source`` says on which data it was measured, as "120 held-out windows".
    """

    name: str
    value: float
    lower_is_better: bool = True
    source: str = ""


@dataclass(frozen=True)
class Tops:
    """The K places in the data where each of H units is most active.

    Attributes:
        of: which value was searched, as "|c|".
        values: (H, K) that value, with its sign.
        labels: H lists of K: where it was, as "shop A, 2024-03-05".
        activity: (H, K, W) the value at the W steps around it.
        inputs: (H, K, W) the input at these steps; NaN where there is none.
        middle: which of the W steps is the one.
        source: what was searched, as "the 300 held-out windows".
        steps: H lists of K: which step of the view that is; None if the view does not show it.
    """

    of: str
    values: Array
    labels: Sequence[Sequence[str]]
    activity: Array
    inputs: Array
    middle: int
    source: str = ""
    steps: Sequence[Sequence[int | None]] | None = None


@dataclass(frozen=True)
class PlaceView:
    """One layer in one direction over T steps. Axes: D its input, H its units, n a value's size.

    Attributes:
        label: "layer 1", "layer 2, backward".
        cell: whose equations it runs.
        x: (T, D) what it read.
        values: each gate and state in the order of the equations, (T, n), in the time order of x.
        initial: each state before the first step, (n,).
        parameters: by symbol, as "W.i" (H, D).
        further: the cell's inputs beside x, (T, n).
        reverse: whether it ran from the last step to the first.
        measures: one number a unit; units can be sorted by each.
        saturation: gate -> (n, 2): the share of steps at which it is nearly shut, nearly open.
        curves: one number a step.
        clamped: "f = 1" -> (H,), change of the metric when one unit's gate is fixed; NaN where
            nobody looked.
        whole: "f = 1" -> the change when the gate is fixed in all units at once.
        tops: where the units are most active.
    """

    label: str
    cell: Cell
    x: Array
    values: Mapping[str, Array]
    initial: Mapping[str, Array]
    parameters: Mapping[str, Array]
    further: Mapping[str, Array] = field(default_factory=dict)
    reverse: bool = False
    measures: Sequence[UnitMeasure] = ()
    saturation: Mapping[str, Array] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    clamped: Mapping[str, Array] = field(default_factory=dict)
    whole: Mapping[str, float] = field(default_factory=dict)
    tops: Tops | None = None

    def __post_init__(self) -> None:
        steps = len(self.x)
        for name, values in {"x": self.x, **self.values, **self.further}.items():
            if np.ndim(values) != 2 or len(values) != steps:
                raise ShapeError(
                    f"{self.label}: {name} has shape {np.shape(values)}, expected (T={steps}, n); "
                    f"pass one sequence of the batch"
                )
        for measure in self.measures:
            _check(self.label, measure.name, measure.values, (self.units,))
        for name, values in self.clamped.items():
            _check(self.label, name, values, (self.units,))
        for curve in self.curves:
            _check(self.label, f"{curve.kind} of {curve.state}", curve.values, (steps,))

    @property
    def units(self) -> int:
        """H: how many units the layer has, those of most of its values."""
        sizes = [int(np.shape(values)[1]) for values in self.values.values()]
        return max(set(sizes), key=sizes.count)


@dataclass(frozen=True)
class ExplorerView:
    """One sequence of T steps through a model.

    Attributes:
        title: of the page.
        time: (T,) datetime64, or numbers.
        inputs: what to draw above the maps, name -> (T,).
        places: the layers, in each direction.
        subtitle: one line below the title.
        step: one time step as a countable noun, "hour".
        meanings: in plain words what a gate or state does.
        metric: what ``clamped`` is a change of.
        loss: what the gradients are of, in words.
        notes: what a reader should know of how the page was made.
        command: what writes the page again.
        context: how many steps the model was trained to read; the page marks where they end.
    """

    title: str
    time: Array
    inputs: Mapping[str, Array]
    places: Sequence[PlaceView]
    subtitle: str = ""
    step: str = "step"
    meanings: Mapping[str, str] = field(default_factory=dict)
    metric: Metric | None = None
    loss: str = ""
    notes: Sequence[str] = ()
    command: str = ""
    context: int | None = None

    def __post_init__(self) -> None:
        steps = len(self.time)
        for name, values in self.inputs.items():
            _check("explorer", f"input {name!r}", values, (steps,))
        for place in self.places:
            if len(place.x) != steps:
                raise ShapeError(
                    f"{place.label} has {len(place.x)} steps, the time axis {steps}: "
                    f"pass the same sequence to both"
                )


def _check(where: str, name: str, values: Array, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise ShapeError(f"{where}: {name} has shape {np.shape(values)}, expected {shape}")
