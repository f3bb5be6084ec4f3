"""How much of the time a gate stands at the end of its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.equations import Cell
from gated.errors import OptionError, ShapeError
from gated.inspect.cell.bounds import bounds
from gated.inspect.measures.arrays import as_floats, real_steps

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Saturation", "saturation", "saturations"]

_MARGIN = 0.1  # of a gate's range, as in the paper: 0.1 of 0 to 1


@dataclass(frozen=True)
class Saturation:
    """The share of time that each unit spends at either end.

    Attributes:
        left: (H,) share of steps with a value below `low`.
        right: (H,) share of steps with a value above `high`.
        low, high: the thresholds.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    low: float
    high: float

    @property
    def both(self) -> NDArray[np.float64]:
        """(H,) share of steps at either end."""
        return self.left + self.right


def saturation(
    gate: ArrayLike, valid: ArrayLike | None = None, *, low: float = 0.1, high: float = 0.9
) -> Saturation:
    """Share of time that each unit of a gate is left-saturated (< 0.1) or right-saturated (> 0.9).

    A forget gate that is right-saturated most of the time is a unit that remembers, one that is
    left-saturated most of the time makes its unit a feed-forward one; a gate that is rarely either
    is a mixer, not a switch. For a candidate, which is a tanh, pass ``low=-0.9, high=0.9``:
    saturated is `|v| > 0.9`.

    Limits: the thresholds are a convention. The shares say nothing of *when* it is saturated, nor
    whether what it lets through matters: an output gate at 1 over a cell at 0 shows nothing. Near
    an end the gate's own gradient is small (s (1 - s) < 0.09), which slows learning, while the
    gradient that passes *through* an open gate is whole.

    Args:
        gate: (..., H), values; the leading axes (T, or T and B, in any order) are counted over.
        valid: (...), True where the step is real; padding may hold anything. None: every step.
        low, high: the thresholds, both strict.

    Returns:
        `Saturation`, its shares each (H,) in [0, 1].

    Raises:
        ShapeError: wrong shape, no valid step, or NaN at a valid one.
        OptionError: low is above high.

    Source: Karpathy, Johnson, Fei-Fei, "Visualizing and Understanding Recurrent Networks",
    arXiv:1506.02078 (2015), section 4.2.

    >>> found = saturation([[0.05, 0.5], [0.95, 0.99], [0.99, 0.3], [0.97, 0.2]])
    >>> found.left, found.right
    (array([0.25, 0.  ]), array([0.75, 0.25]))
    """
    if not low <= high:
        raise OptionError(f"low={low} and high={high}: expected low <= high")
    steps = real_steps(gate, valid, "the gate")
    unknown = np.argwhere(np.isnan(steps))
    if len(unknown):
        raise ShapeError(
            f"the gate of unit {unknown[0][1]} is NaN at valid step {unknown[0][0]}: it is neither "
            f"saturated nor not; mark padding in valid="
        )
    return Saturation((steps < low).mean(axis=0), (steps > high).mean(axis=0), low, high)


def saturations(
    values: Mapping[str, Tensor | ArrayLike], cell: Cell, valid: ArrayLike | None = None
) -> dict[str, Saturation]:
    """`saturation` of every gate and candidate of a cell, thresholds from its equations.

    Which values have ends to saturate at follows from the equations: sigmoids and what is made of
    them (0 to 1, as 1 - i), tanh (-1 to 1), the plain RNN's h among them. Thresholds stand as far
    from the ends as for a gate: 0.1 and 0.9, or -0.9 and 0.9. What has no ends is left out (c, a
    linear candidate), and so are products (the LSTM's h), in which two values saturate.

    Args:
        values: gates and states by name, each (..., H), as `call.values()` gives them.
        cell: the layer's cell.
        valid: (...) as in `saturation`.

    Raises:
        ShapeError: as `saturation`.

    Example:
        >>> import torch, gated
        >>> layer = gated.LSTM(3, 4)
        >>> _, _, trace = layer(torch.randn(5, 2, 3), trace=True)
        >>> {name: found.low for name, found in saturations(trace.at(0), layer.cell).items()}
        {'i': 0.1, 'f': 0.1, 'g': -0.9, 'o': 0.1}
    """
    found = {}
    for name, node in cell.graph.equations.items():
        low, high = bounds(node)
        ends = math.isfinite(low) and math.isfinite(high) and low < high
        if ends and node.op != "mul" and name in values:
            at = {"low": round(low + _MARGIN, 12), "high": round(high - _MARGIN, 12)}
            found[name] = saturation(as_floats(values[name]), valid, **at)
    return found
