"""Whether a side computes what the others do. Nothing is timed that was not found equal."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from bench.cpu.check import WrongError, furthest, results
from bench.gpu.problem import Data
from bench.gpu.sides import Side, ours

# of the largest value of a tensor: products of float32 against the truth; in other types, so many
# units of rounding
_FLOAT32, _UNITS = 2e-5, 2
# what rounding adds up to over many steps: so often the difference of PyTorch's own operations
_TIMES = 2


def check(side: Side, data: Data) -> float:
    """The largest difference from the reference in float64 on the same device.

    Raises:
        WrongError: it is larger than what rounding explains.
    """
    problem = data.problem
    with torch.set_grad_enabled(problem.learns):
        found = results(side)
    truth = _truth(data)
    if len(found) > len(truth):
        raise WrongError(f"{len(found)} results, expected {len(truth)}")
    apart = _furthest(found, truth)
    base = _FLOAT32 if problem.dtype == "float32" else _UNITS * problem.eps
    if not apart <= base:  # NaN is wrong too
        allowed = max(base, _TIMES * _rounding(data))
        if not apart <= allowed:
            raise WrongError(f"off by {apart:.1e}, where rounding explains {allowed:.1e}")
    return apart


def _furthest(found: list[Tensor], truth: list[Tensor]) -> float:
    worst = 0.0
    for place, (one, two) in enumerate(zip(found, truth, strict=False)):
        if one.shape != two.shape:
            raise WrongError(f"result {place} has shape {tuple(one.shape)}, not {tuple(two.shape)}")
        apart = furthest(one, two)
        worst = apart if not apart <= worst else worst
    return worst


@lru_cache(maxsize=2)
def _of_reference(data: Data, dtype: torch.dtype) -> list[Tensor]:
    asked = data.problem
    as_type = Data(asked, data.device, data.state, data.x.to(dtype), data.d.to(dtype))
    return results(ours(as_type, "reference", dtype))


def _truth(data: Data) -> list[Tensor]:
    with torch.set_grad_enabled(data.problem.learns):
        return _of_reference(data, torch.float64)


def _rounding(data: Data) -> float:
    """The difference that the type makes to the reference."""
    with torch.set_grad_enabled(data.problem.learns):
        return _furthest(_of_reference(data, data.problem.kind), _truth(data))
