"""Every engine against the reference: outputs, states and gradients, on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gated.engines import ENGINES
from gated.equations import Cell
from gated.inspect.doctor.samples import Sample, asked, letters, sample, seeded
from gated.layers import Recurrent

# cells that differ in what is hard about them: one product, two in a row, a memory that the gates
# see, sums over all units, a running maximum
CELLS = ("lstm", "gru", "peephole", "layernorm-lstm", "slstm")
# the greatest error allowed, for each type of numbers
ALLOWED = {torch.float32: 1e-5, torch.float64: 1e-11}

# odd sizes: neither units nor rows fill the last vector, and one row has no step at all
_D, _H, _T = 19, 37, 13
_LENGTHS = (13, 0, 5, 1, 9, 13, 12)


@dataclass(frozen=True)
class Check:
    """One engine on one cell in one type of numbers.

    Attributes:
        cell, engine, dtype: what was checked; "float32" or "float64".
        error: the greatest error of any value, relative to the greatest of its tensor (or to 1 if
            that is less); infinite for NaN. None if it was not run.
        value: the tensor that has it: "output", "final h", "gradient of weight_hh_l0".
        reason: why the engine does not run it, None if it does.
        failure: what the engine raised instead of running it, None if it ran.
    """

    cell: str
    engine: str
    dtype: str
    error: float | None = None
    value: str | None = None
    reason: str | None = None
    failure: str | None = None

    @property
    def allowed(self) -> float:
        """The greatest error allowed."""
        return ALLOWED[getattr(torch, self.dtype)]

    @property
    def wrong(self) -> bool:
        """Whether the engine says that it can run this and does not, or not rightly."""
        return self.failure is not None or (self.error is not None and self.error > self.allowed)


def check(
    cells: Iterable[Cell], tell: Callable[[str, str, str], None] = lambda *_: None
) -> Iterator[Check]:
    """Check every engine on some cells, in float32 and float64.

    Each runs with the same weights in both directions, over rows of unequal lengths, with initial
    states, once with gradients and once without; the truth is the reference in float64.

    Args:
        cells: the cells.
        tell: called with cell, engine and type before each check: a kernel may have to be compiled.
    """
    for cell in cells:
        tell(cell.name, "reference", "float64")
        truth = _values(*_case(cell, "reference", torch.float64))
        for engine in ENGINES:
            for dtype in ALLOWED:
                if (engine, dtype) == ("reference", torch.float64):
                    continue  # it is the truth
                name = str(dtype).removeprefix("torch.")
                tell(cell.name, engine, name)
                yield _check(cell, engine, dtype, name, truth)


def steps(cells: Sequence[Cell]) -> int:
    """How often `check` tells what comes next."""
    return len(cells) * len(ENGINES) * len(ALLOWED)


def _check(
    cell: Cell, engine: str, dtype: torch.dtype, name: str, truth: dict[str, Tensor]
) -> Check:
    layer, given = _case(cell, engine, dtype)
    reason = ENGINES[engine].supports(asked(layer, given))
    if reason is not None:
        return Check(cell.name, engine, name, reason=reason)
    try:
        found = _values(layer, given)
    except Exception as fault:  # whatever an engine does wrong is what is looked for
        return Check(cell.name, engine, name, failure=f"{type(fault).__name__}: {fault}")
    errors = {value: _error(found[value], right) for value, right in truth.items()}
    worst = max(errors, key=errors.__getitem__)
    return Check(cell.name, engine, name, errors[worst], worst)


def _case(cell: Cell, engine: str, dtype: torch.dtype) -> tuple[Recurrent, Sample]:
    """A layer and what goes into it: the same numbers in every type and on every engine."""
    with seeded():
        own: dict[str, Any] = letters(cell, _H)
        layer = Recurrent(
            cell, _D, _H, bidirectional=True, dtype=torch.float32, engine=engine, **own
        ).to(dtype)
        return layer, sample(layer, _T, len(_LENGTHS), _LENGTHS)


def _values(layer: Recurrent, given: Sample) -> dict[str, Tensor]:
    """Outputs, states, and the gradients of everything that goes in, by name."""
    with torch.no_grad():  # where no gradient is wanted an engine may go another way
        plain = _results(layer, given)
    names = [f"initial {state.name}" for state in layer.cell.states]
    entering = {"x": given.x, **given.others, **dict(zip(names, given.states, strict=True))}
    for tensor in entering.values():
        tensor.requires_grad_()
    entering |= dict(layer.named_parameters())
    found = _results(layer, given)
    with seeded():
        weights = [torch.rand(v.shape, dtype=torch.float32).to(v) - 0.5 for v in found.values()]
    parts = [(v * w).sum() for v, w in zip(found.values(), weights, strict=True)]
    gradients = torch.autograd.grad(
        torch.stack(parts).sum(), list(entering.values()), allow_unused=True, materialize_grads=True
    )
    return {
        **{name: value.detach() for name, value in found.items()},
        **{f"{name} without gradients": value for name, value in plain.items()},
        **{f"gradient of {name}": g for name, g in zip(entering, gradients, strict=True)},
    }


def _results(layer: Recurrent, given: Sample) -> dict[str, Tensor]:
    """The output, and each state at the end."""
    output, final = layer(given.x, given.hx, lengths=given.lengths, **given.others)
    finals: Sequence[Tensor] = final if isinstance(final, tuple) else (final,)
    names = [f"final {state.name}" for state in layer.cell.states]
    return {"output": output, **dict(zip(names, finals, strict=True))}


def _error(found: Tensor, right: Tensor) -> float:
    """The greatest error, relative to the greatest value; infinite for NaN or another shape."""
    if found.shape != right.shape:
        return math.inf
    found = found.double()
    same = (found == right) | (found.isnan() & right.isnan())  # infinities and NaN among them
    error = float(torch.where(same, 0.0, found - right).abs().max())
    scale = float(right[right.isfinite()].abs().max()) if right.isfinite().any() else 1.0
    return error / max(1.0, scale) if math.isfinite(error) else math.inf
