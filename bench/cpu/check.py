"""Whether a side computes what the others do. Nothing is timed that was not found equal."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from bench.cpu.problem import Data, Problem, data
from bench.cpu.sides import Results, Side, torch_layer, trained

# of the largest value of a tensor: float32 against the truth; a wrong term is off by far more
ALLOWED = 2e-5
# some cells magnify what is rounded, step by step: so often the float32 reference's own difference
_TIMES_ITS_OWN = 4
# larger problems are compared with torch.nn's layer in float32: the reference would take long
_LARGEST = 1 << 21


class WrongError(Exception):
    """A side's results differ from the truth."""


def check(side: Side, problem: Problem) -> float:
    """The largest difference from the truth.

    Raises:
        WrongError: it is larger than what rounding explains.
    """
    with torch.set_grad_enabled(problem.learns):
        found = results(side)
    expected = _expected(problem, len(found))
    worst, allowed = 0.0, ALLOWED
    for place, (one, two) in enumerate(zip(found, expected, strict=True)):
        if problem.mode == "step":
            one = one.view(two.shape)  # some have an axis of layers
        if one.shape != two.shape:
            raise WrongError(f"result {place} has shape {tuple(one.shape)}, not {tuple(two.shape)}")
        apart = furthest(one, two)
        if not apart <= allowed:  # NaN is wrong too
            allowed = max(allowed, _TIMES_ITS_OWN * _rounding(problem.whole))
        if not apart <= allowed:
            raise WrongError(f"{'gradient' if place else 'output'} {place} is off by {apart:.1e}")
        worst = max(worst, apart)
    return worst


def results(side: Side) -> Results:
    """What a side computes, laid out for the comparison."""
    shown = getattr(side, "shown", side)
    return [value.detach() for value in shown()]


def furthest(one: Tensor, two: Tensor) -> float:
    """The largest difference of two tensors, as a share of the largest value."""
    if not one.numel():
        return 0.0
    one, two = one.double(), two.double()
    return float((one - two).abs().max() / two.abs().max().clamp(min=1e-30))


def _expected(problem: Problem, count: int) -> Results:
    """The first of all results that the problem has; a step's are its states."""
    truth = _truth(problem.whole)
    return truth if problem.mode == "step" else truth[:count]


@lru_cache(maxsize=4)
def _truth(problem: Problem) -> Results:
    given = data(problem)
    large = problem.batch * problem.steps * problem.size > _LARGEST
    if large and problem.cell in ("lstm", "gru", "rnn"):
        with torch.enable_grad():
            return results(torch_layer(given))
    return _reference(given)


@lru_cache(maxsize=4)
def _rounding(problem: Problem) -> float:
    """The largest difference that float32 makes to the reference, over all results."""
    pairs = zip(_reference(data(problem), torch.float32), _truth(problem), strict=True)
    return max(furthest(one, two) for one, two in pairs)


def _reference(given: Data, dtype: torch.dtype = torch.float64) -> Results:
    """The reference engine's results."""
    layer = given.layer("reference", dtype)
    inputs = {name: value.to(dtype) for name, value in given.inputs.items()}
    if given.problem.mode == "step":
        with torch.no_grad():
            states = tuple(state.to(dtype).unsqueeze(0) for state in given.initial)
            return [state[0] for state in layer.step(given.x.to(dtype), states, **inputs)[1]]
    if given.lengths is not None:
        inputs["lengths"] = given.lengths
    x = given.x.to(dtype).requires_grad_()
    with torch.enable_grad():
        found = trained(lambda: layer(x, **inputs)[0], [*layer.parameters(), x], given.d.to(dtype))
    return [value.detach() for value in found]
