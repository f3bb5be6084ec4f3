"""The measures of a recording: every unit of a layer, and two recordings side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.equations import Cell
from gated.errors import OptionError, ShapeError
from gated.inspect.measures.arrays import Floats
from gated.inspect.measures.comparison import (
    Difference,
    Matching,
    differences,
    linear_cka,
    match_units,
)
from gated.inspect.measures.forgetting import forget_factor
from gated.inspect.measures.memory import half_life, horizon, memory_length
from gated.inspect.measures.recorded import Steps, steps_of
from gated.inspect.measures.saturation import Saturation, saturations
from gated.inspect.recording.recordings import LayerRecording
from gated.inspect.recording.symbols import by_symbol

__all__ = ["Comparison", "UnitMeasures", "compare", "unit_measures"]


@dataclass(frozen=True)
class UnitMeasures:
    """What the measures say of every unit of one layer and direction. Axes: H units.

    Attributes:
        units: H.
        half_life, horizon, memory_length: (H,), in steps; None where the cell keeps no share of a
            state, as the plain RNN.
        saturation: by gate, shares of time.
    """

    units: int
    half_life: NDArray[np.float64] | None
    horizon: NDArray[np.float64] | None
    memory_length: NDArray[np.float64] | None
    saturation: Mapping[str, Saturation]

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Every measure by name, (H,): for a table, or `differences`.

        Gates with other units than the H hidden ones are left out, as the GRU-D's of its inputs.
        """
        memory = {
            "half-life": self.half_life, "horizon": self.horizon,
            "memory length": self.memory_length,
        }  # fmt: skip
        found = {name: value for name, value in memory.items() if value is not None}
        for name, share in self.saturation.items():
            found |= {f"{name} left-saturated": share.left, f"{name} right-saturated": share.right}
        return {name: column for name, column in found.items() if len(column) == self.units}


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same input.

    Attributes:
        matching: their units, paired by the output.
        cka: by state that both have, how alike the two spaces are.
        table: their measures side by side.
    """

    matching: Matching
    cka: dict[str, float]
    table: tuple[Difference, ...]

    def __str__(self) -> str:
        title = "median over units"
        wide = max(len(name) for name in (title, *(row.name for row in self.table)))
        lines = [f"units matched with a mean |r| of {self.matching.score:.3f}"]
        lines += [f"CKA of {state}: {value:.3f}" for state, value in self.cka.items()]
        lines += [f"{title:{wide}}  {'first':>9}  {'second':>9}  distance"]
        lines += [
            f"{row.name:{wide}}  {row.first:9.3g}  {row.second:9.3g}  {row.distance:8.3f}"
            for row in self.table
        ]
        return "\n".join(lines)


def unit_measures(
    recorded: LayerRecording,
    layer: int = 0,
    direction: int = 0,
    *,
    state: str | None = None,
    share: float = float(np.exp(-1)),
    lags: int | None = None,
) -> UnitMeasures:
    """Memory and saturation of every unit of a recorded layer, over all of its calls.

    The gate of a step that starts from a fresh state has nothing to forget: it is left out of the
    half-life, and no memory passes a reset. Definitions and limits are those of `half_life`,
    `horizon`, `memory_length` and `saturation`; what was not recorded is left out.

    Args:
        recorded: a layer's recording; `.joined()` first where calls go on from one another.
        layer, direction: which of the stack.
        state: whose memory, if the cell keeps several states; its first if None.
        share, lags: as in `horizon`.

    Raises:
        OptionError: nothing was recorded, or what the forget factor needs was not.
        ShapeError: no row has a second step, after which something could be left.

    Example:
        >>> import torch, gated
        >>> model = gated.LSTM(3, 4, forget_bias=3.0)
        >>> with gated.record(model) as recording:
        ...     _ = model(torch.randn(50, 2, 3))
        >>> found = unit_measures(recording["layer"])
        >>> list(found.columns)[:5]
        ['half-life', 'horizon', 'memory length', 'i left-saturated', 'i right-saturated']
        >>> bool(found.half_life.min() > 3)
        True
    """
    steps = steps_of(recorded, layer, direction)
    units = recorded.layer.hidden_size
    saturation = saturations(steps.values, recorded.cell, steps.valid)
    if not recorded.cell.kept:
        return UnitMeasures(units, None, None, None, saturation)
    forget = _forget(recorded, steps, layer, direction, state)
    keeping = steps.valid & ~steps.fresh
    passing = steps.as_read(np.where(steps.fresh[..., None], 0.0, forget))
    return UnitMeasures(
        units,
        half_life(forget, keeping),
        horizon(passing, steps.valid, share=share, lags=lags),
        memory_length(passing, steps.valid),
        saturation,
    )


def compare(
    first: LayerRecording,
    second: LayerRecording,
    layers: tuple[int, int] = (0, 0),
    directions: tuple[int, int] = (0, 0),
    *,
    lags: int | None = None,
) -> Comparison:
    """Two runs, or two cells, on the same input: their units, their state spaces, their measures.

    Args:
        first, second: recordings of calls on the same input, in the same order.
        layers, directions: which of each stack.
        lags: as in `horizon`.

    Raises:
        ShapeError: the calls have other steps or lengths: the input was not the same.
        OptionError: as `unit_measures`, or an output was not recorded.

    Example:
        >>> import torch, gated
        >>> x, found = torch.randn(50, 2, 3), []
        >>> for cell in ("lstm", "gru"):
        ...     with gated.record(gated.Recurrent(cell, 3, 4)) as recording:
        ...         _ = recording["layer"].layer(x)
        ...     found.append(recording["layer"])
        >>> print(compare(*found))
        units matched with a mean |r| of ...
        CKA of h: ...
        median over units      first     second  distance
        half-life         ...
    """
    one, other = (
        steps_of(each, at, way)
        for each, at, way in zip((first, second), layers, directions, strict=True)
    )
    if one.valid.shape != other.valid.shape or (one.valid != other.valid).any():
        raise ShapeError(
            f"the recordings have {one.lengths.tolist()[:8]} and {other.lengths.tolist()[:8]} "
            f"steps in their rows: expected the same, so run both on the same input"
        )
    outputs = [_output(steps, each.cell) for steps, each in ((one, first), (other, second))]
    states = [s.name for s in first.cell.states if s.name in one.values]
    shared = [name for name in states if name in {s.name for s in second.cell.states}]
    measures = [
        unit_measures(each, at, way, lags=lags).columns
        for each, at, way in zip((first, second), layers, directions, strict=True)
    ]
    return Comparison(
        match_units(outputs[0], outputs[1], one.valid),
        {n: linear_cka(one.values[n], other.values[n], one.valid)
         for n in shared if n in other.values},
        differences(*measures),
    )  # fmt: skip


def _forget(
    recorded: LayerRecording, steps: Steps, layer: int, direction: int, state: str | None
) -> Floats:
    symbols = {
        name: value.detach().double().cpu().numpy()
        for name, value in by_symbol(recorded.layer, layer, direction).items()
    }
    return forget_factor({**steps.values, **steps.inputs, **symbols}, recorded.cell, state)


def _output(steps: Steps, cell: Cell) -> Floats:
    name = cell.states[0].name
    if name not in steps.values:
        raise OptionError(f"{cell.name}: its output {name} was not recorded: add it to only=")
    return steps.values[name]
