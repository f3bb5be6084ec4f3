"""Whether a side computes what the others do. Nothing is timed that was not found equal."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from bench.cpu.check import WrongError, furthest, results
from bench.gpu.problem import Data
from bench.gpu.sides import Side, ours

# of the largest value of a tensor: products of float32 against the truth; in other types, so many
# units of rounding, since the reference's own few can be small by chance
_FLOAT32, _UNITS = 2e-5, 4
# what rounding adds up to over many steps: so often the difference that PyTorch's own operations
# make to the same result, whose furthest value is one by chance
_TIMES = 3


def check(side: Side, data: Data) -> float:
    """The largest difference from the reference in float64 on the same device.

    A side that draws at random is compared as its expectation; ours once more as it draws, with
    the reference, which draws the same numbers.

    Raises:
        WrongError: there are other results, or one is further off than its rounding explains.
    """
    with torch.set_grad_enabled(data.problem.learns):
        found = results(side)
        worst = _apart(found, _truth(data), data)
        if getattr(side, "alike", False):
            reference = ours(data, "reference")
            worst = max(worst, _apart(_drawn(side), _drawn(reference), data))
    return worst


def _apart(found: list[Tensor], truth: list[Tensor], data: Data) -> float:
    if len(found) != len(truth):
        raise WrongError(f"{len(found)} results, expected {len(truth)}")
    problem, worst = data.problem, 0.0
    base = _FLOAT32 if problem.dtype == "float32" else _UNITS * problem.eps
    for place, (one, two) in enumerate(zip(found, truth, strict=True)):
        if one.shape != two.shape:
            raise WrongError(f"result {place} has shape {tuple(one.shape)}, not {tuple(two.shape)}")
        apart, allowed = furthest(one, two), base
        if not apart <= base:  # NaN is wrong too
            allowed = max(base, _TIMES * _rounding(data)[place])
        if not apart <= allowed:
            raise WrongError(
                f"result {place} is off by {apart:.1e}, where rounding explains {allowed:.1e}"
            )
        worst = max(worst, apart)
    return worst


def _drawn(side: Side) -> list[Tensor]:
    torch.manual_seed(0)
    return [value.detach() for value in side()]


@lru_cache(maxsize=2)
def _of_reference(data: Data, dtype: torch.dtype) -> list[Tensor]:
    asked = data.problem
    as_type = Data(asked, data.device, data.state, data.x.to(dtype), data.d.to(dtype))
    return results(ours(as_type, "reference", dtype))


def _truth(data: Data) -> list[Tensor]:
    with torch.set_grad_enabled(data.problem.learns):
        return _of_reference(data, torch.float64)


def _rounding(data: Data) -> list[float]:
    """The difference that the type makes to each of the reference's results."""
    with torch.set_grad_enabled(data.problem.learns):
        pairs = zip(_of_reference(data, data.problem.kind), _truth(data), strict=True)
    return [furthest(one, two) for one, two in pairs]
