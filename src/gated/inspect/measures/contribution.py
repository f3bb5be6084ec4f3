"""What each past input contributes to a present output.

Two measures that fail in different ways, so that they may be held against each other. Integrated
gradients share out exactly the difference between the output and that for a baseline, along a
straight line of inputs that never occur. Exact ablation puts the baseline in the place of one step
and looks: no slope, no line, but a network that had two copies of something is not seen to need
either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.errors import OptionError
from gated.inspect.measures.asked import Asked, Baseline, Target, as_baseline, predicting
from gated.inspect.measures.needs import needed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contribution", "ablation", "integrated_gradients"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Contribution:
    """What inputs contribute to an output.

    Axes: B rows, T steps, D features. Steps beyond a row's length hold NaN.

    Attributes:
        method: "integrated gradients", "ablation of steps" or "ablation of features".
        values: (B, T, D), or (B, T) where whole steps were ablated; in the output's own units.
        output: (B,) the output for the inputs as they are.
        at_baseline: (B,) the output where all inputs are the baseline.
    """

    method: str
    values: Array
    output: Array
    at_baseline: Array

    @property
    def steps(self) -> Array:
        """(B, T): of each step, its features added up."""
        return self.values if self.values.ndim == 2 else np.asarray(self.values.sum(-1))

    @property
    def top(self) -> Array:
        """(B,): the step of the largest contribution, be it above or below 0; -1 if all are 0."""
        size = np.where(np.isnan(self.steps), 0.0, np.abs(self.steps))
        if not size.shape[1]:
            return np.full(len(size), -1)
        return np.where(size.max(1) > 0, size.argmax(1), -1)

    @property
    def gap(self) -> Array:
        """(B,): by how much the contributions miss the output's distance from the baseline's.

        For integrated gradients it is the error of the sum that stands for the integral: more
        `points` make it smaller. An ablation need not add up.
        """
        return np.asarray(np.nansum(self.steps, 1) - (self.output - self.at_baseline))

    def to_pandas(self) -> pd.DataFrame:
        """One line for each valid step: row, step, contribution, and one column for each feature.

        The features' columns, "feature_0", ..., are missing where whole steps were ablated.
        """
        import pandas as pd

        row, step = np.nonzero(~np.isnan(self.steps))
        table = {"row": row, "step": step, "contribution": self.steps[row, step]}
        if self.values.ndim == 3:
            for k in range(self.values.shape[-1]):
                table[f"feature_{k}"] = self.values[row, step, k]
        return pd.DataFrame(table)


def integrated_gradients(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    baseline: Baseline = "zero",
    lengths: Tensor | Sequence[int] | None = None,
    points: int = 64,
    max_rows: int = 1024,
    batch_first: bool | None = None,
    **inputs: Tensor,
) -> Contribution:
    """Integrated gradients of an output by every input, through captum.

    (x - x') times the gradient's mean on the straight line from the baseline x' to x. They add up
    to output(x) - output(x') (completeness; `Contribution.gap` is what numbers leave of it). The
    model runs in evaluation mode.

    Args:
        model: a module, or any function of the sequence. `lengths=` and `inputs` are passed on by
            name; parameters are left alone.
        x: (B, T, D), or (T, B, D) if not batch_first. A model of your own that takes time first
            is not asked: pass batch_first=False, or its axes are read the wrong way round.
        target: a function of the output that gives a number for each row; or an index behind the
            output's first axis (2 of (B, C), (-1, 0) of (B, T, C)); None if it is that number. With
            lengths a step below 0 is counted from each row's own end: -1 is its last valid one.
        baseline: "zero", "mean" (each feature's, over all valid steps), a number, or a tensor that
            spreads over (B, T, D).
        lengths: (B,) the rows' valid steps; the others are neither read nor given a share.
        points: of the line at which the gradient is taken (Gauss-Legendre).
        max_rows: how many rows go through the model at a time.
        batch_first: of the model and x; the model's own `batch_first`, True if it has none.
        inputs: further inputs of the model, as (B, T, n), which are held as they are.

    Returns:
        A `Contribution` with values (B, T, D).

    Raises:
        OptionError: captum is not installed, or an argument makes no sense.
        ShapeError: x, the baseline or the target do not fit.

    Limits: the answer is relative to the baseline, and another gives another answer: a feature that
    equals the baseline gets 0 however much it matters, so an input in which 0 means something wants
    "mean". The points of the line are inputs that the network never saw. Shares of interacting
    inputs (a gate and what it lets through) are split by the line, not by a law.

    Source: M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for deep networks, ICML 2017,
    equation 1; captum: N. Kokhlikyan et al., arXiv:2009.07896.

    Example:
        >>> import gated, torch
        >>> lstm, x = gated.LSTM(2, 3, batch_first=True), torch.randn(4, 10, 2)
        >>> found = integrated_gradients(lstm, x, (-1, 0))
        >>> found.values.shape, bool((abs(found.gap) < 1e-4).all())
        ((4, 10, 2), True)
    """
    _check_count("points", points)
    _check_count("max_rows", max_rows)
    captum = needed("captum.attr", "the contribution by integrated gradients")
    asked = Asked.of(model, x, target, lengths, batch_first, inputs)
    start = as_baseline(asked, baseline)
    ends = _ends(asked, start, max_rows)
    with predicting(model), torch.enable_grad():
        parts = [
            captum.IntegratedGradients(part.values).attribute(
                part.x, start[rows], n_steps=points, internal_batch_size=max(max_rows, len(part.x))
            )
            for rows, part in _row_parts(asked, max_rows)
        ]
    values = torch.cat(parts) if parts else torch.zeros_like(asked.x)
    return _contribution("integrated gradients", values, asked, ends)


def ablation(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    by: str = "step",
    baseline: Baseline = "zero",
    lengths: Tensor | Sequence[int] | None = None,
    max_rows: int = 1024,
    batch_first: bool | None = None,
    **inputs: Tensor,
) -> Contribution:
    """Exact ablation: the output less that for the baseline in the place of one step.

    output(x) - output(x with step t replaced), for every t: the model runs T times on each row (T D
    times by features), many variants at a time. The model runs in evaluation mode.

    Args:
        model, x, target, baseline, lengths, batch_first, inputs: as for `integrated_gradients`.
        by: "step" to replace whole steps, "feature" for one feature of one step at a time.
        max_rows: how many rows go through the model at a time: a bound on memory.

    Returns:
        A `Contribution` with values (B, T), or (B, T, D) by features.

    Raises:
        OptionError: an argument makes no sense.
        ShapeError: x, the baseline or the target do not fit.

    Limits: it misses redundancy: of two steps that say the same, removing one changes nothing, and
    both get 0. A step replaced makes a sequence unlike any in training, and the answer may be to
    that. The baseline matters here too. Contributions need not add up to anything.

    Source: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014
    (occlusion); for words in recurrent networks: J. Li, W. Monroe, D. Jurafsky, Understanding
    neural networks through representation erasure, arXiv:1612.08220 (2016), equation 1.

    Example:
        >>> import gated, torch
        >>> lstm, x = gated.LSTM(2, 3, batch_first=True), torch.randn(4, 10, 2)
        >>> found = ablation(lstm, x, (-1, 0), lengths=[10, 7, 3, 10])
        >>> x[1, 6] = 0
        >>> without = ablation(lstm, x, (-1, 0), lengths=[10, 7, 3, 10])
        >>> bool(abs(found.steps[1, 6] - (found.output - without.output)[1]) < 1e-6)
        True
    """
    _check_count("max_rows", max_rows)
    if by not in ("step", "feature"):
        raise OptionError(f"by is {by!r}, expected 'step' or 'feature'")
    asked = Asked.of(model, x, target, lengths, batch_first, inputs)
    start = as_baseline(asked, baseline)
    ends = _ends(asked, start, max_rows)
    with predicting(model), torch.no_grad():
        parts = [
            _ablated(part, start[rows], by, max_rows) for rows, part in _row_parts(asked, max_rows)
        ]
    rows, steps, features = asked.x.shape
    shape = (rows, steps) if by == "step" else (rows, steps, features)
    values = torch.cat(parts).view(shape) if parts else asked.x.new_zeros(shape)
    return _contribution(f"ablation of {by}s", values, asked, ends)


def _row_parts(asked: Asked, max_rows: int) -> Iterator[tuple[slice, Asked]]:
    for begin in range(0, len(asked.x), max_rows):
        rows = slice(begin, begin + max_rows)
        yield rows, asked.part(rows)


def _ablated(asked: Asked, start: Tensor, by: str, max_rows: int) -> Tensor:
    """(B, T) or (B, T * D): the output less that of each variant."""
    rows, steps, features = asked.x.shape
    places = [(t, slice(None)) for t in range(steps)]
    if by == "feature":
        places = [(t, slice(d, d + 1)) for t in range(steps) for d in range(features)]
    whole, found = asked.values(asked.x), []
    at_once = max(1, max_rows // max(rows, 1))
    for begin in range(0, len(places), at_once):
        some = places[begin : begin + at_once]
        variants = asked.x.repeat(len(some), 1, 1).view(len(some), rows, steps, features)
        for variant, (t, d) in zip(variants, some, strict=True):
            variant[:, t, d] = start[:, t, d]
        found.append(whole - asked.values(variants.flatten(0, 1)).view(len(some), rows))
    return torch.cat(found).T if found else asked.x.new_zeros((rows, 0))


def _ends(asked: Asked, start: Tensor, max_rows: int) -> Tensor:
    """(2, B): the output, and that for the baseline."""
    with predicting(asked.model), torch.no_grad():
        both = [
            torch.stack([part.values(part.x), part.values(start[rows])])
            for rows, part in _row_parts(asked, max_rows)
        ]
    return torch.cat(both, 1) if both else asked.x.new_zeros((2, 0))


def _contribution(method: str, values: Tensor, asked: Asked, ends: Tensor) -> Contribution:
    shown, valid = values.detach().cpu().numpy(), asked.valid.numpy()
    shown = np.where(valid if shown.ndim == 2 else valid[..., None], shown, np.nan)
    output, at_baseline = ends.cpu().numpy()
    return Contribution(method, shown, output, at_baseline)


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} is {value!r}, expected a whole number above 0")
