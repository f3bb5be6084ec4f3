"""Every engine against the reference: outputs, states and gradients, on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gated.engines import ENGINES, PARTS
from gated.equations import Cell
from gated.inspect.doctor.samples import Sample, asked, letters, sample, seeded
from gated.layers import Recurrent

# cells that differ in what is hard about them: one product, two in a row, a memory that the gates
# see, sums over all units, a running maximum
CELLS = ("lstm", "gru", "peephole", "layernorm-lstm", "slstm")
# the greatest error allowed, for each type of numbers
ALLOWED = {torch.float32: 1e-5, torch.float64: 1e-11}
# in 16 bits: so many steps of the type, or so often what PyTorch's operations in it are off by
HALVES = (torch.bfloat16, torch.float16)
EPS, TIMES = 4, 2
# what is checked on a kind of device, and on others
TYPES = {"cpu": tuple(ALLOWED)}
_ELSEWHERE = (*ALLOWED, *HALVES)

# odd sizes: neither units nor rows fill the last vector, and one row has no step at all
_D, _H, _T = 19, 37, 13
_LENGTHS = (13, 0, 5, 1, 9, 13, 12)


@dataclass(frozen=True)
class Check:
    """One engine on one cell in one type of numbers.

    Attributes:
        cell, engine, dtype, device: what was checked; "float32", "cpu".
        allowed: the greatest error allowed.
        error: the greatest error of any value, relative to the greatest of its tensor (or to 1 if
            that is less); infinite for NaN. None if it was not run.
        value: the tensor that has it: "output", "final h", "gradient of weight_hh_l0".
        reason: why the engine does not run it, None if it does.
        failure: what the engine raised instead of running it, None if it ran.
    """

    cell: str
    engine: str
    dtype: str
    device: str = "cpu"
    allowed: float = 0.0
    error: float | None = None
    value: str | None = None
    reason: str | None = None
    failure: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether the engine says that it can run this and does not, or not rightly."""
        # written so that NaN is wrong
        return self.failure is not None or not (self.error is None or self.error <= self.allowed)


def check(
    cells: Iterable[Cell],
    tell: Callable[[str, str, str, str], None] = lambda *_: None,
    devices: Sequence[str] = ("cpu",),
) -> Iterator[Check]:
    """Check every engine on some cells: in float32 and float64, and on a GPU in 16 bits too.

    Each runs with the same weights in both directions, over rows of unequal lengths, with initial
    states, once with gradients and once without; the truth is the reference in float64 on the CPU,
    with what the type checked makes of the numbers that go in. Float32 is never rounded to tf32.
    An engine of several strategies is checked by each of them.

    Args:
        cells: the cells.
        tell: called with cell, engine, type and device before each check: a kernel may have to be
            compiled.
        devices: where the engines run.
    """
    with exact():
        for cell in cells:
            tell(cell.name, "reference", "float64", "cpu")
            truth = _Truth(cell)
            truth.of(torch.float32)
            for turn in _turns(devices):
                tell(cell.name, turn[1], _name(turn[2]), turn[0])
                found = _check(cell, *turn, truth)
                if found is not None:
                    yield found


def steps(cells: Sequence[Cell], devices: Sequence[str] = ("cpu",)) -> int:
    """How often `check` tells what comes next."""
    return len(cells) * (1 + sum(1 for _ in _turns(devices)))


def _turns(devices: Sequence[str]) -> Iterator[tuple[str, str, torch.dtype]]:
    for device in devices:
        for engine in ENGINES:
            for dtype in TYPES.get(torch.device(device).type, _ELSEWHERE):
                if (device, engine, dtype) != ("cpu", "reference", torch.float64):  # the truth
                    yield device, engine, dtype


@contextmanager
def exact() -> Iterator[None]:
    """Within the block PyTorch rounds no float32 number to tf32 on a GPU."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class _Truth:
    """What is right for a cell, and how far PyTorch's operations in 16 bits are from it."""

    def __init__(self, cell: Cell):
        self.cell = cell
        self.of = cache(self._of)
        self.allowed = cache(self._allowed)

    def _of(self, given_in: torch.dtype) -> dict[str, Tensor]:
        """The values, of numbers that a type holds."""
        layer, given = _case(self.cell, "reference", given_in)
        layer = layer.double()
        return _values(layer, given.to(next(layer.parameters())))

    def _allowed(self, dtype: torch.dtype) -> float:
        """The greatest error that a type may have."""
        if dtype in ALLOWED:
            return ALLOWED[dtype]
        plain = _errors(_values(*_case(self.cell, "reference", dtype)), self.of(dtype))
        most = max(e for e in (0.0, *plain.values()) if math.isfinite(e))
        return max(EPS * torch.finfo(dtype).eps, TIMES * most)


def _check(cell: Cell, device: str, engine: str, dtype: torch.dtype, truth: _Truth) -> Check | None:
    """One check; None if another says the same: of a whole its parts, or of parts their whole."""
    given_in = dtype if dtype in HALVES else torch.float32
    layer, given = _case(cell, engine, given_in)
    layer = layer.to(device, dtype)
    given = given.to(next(layer.parameters()))
    job = asked(layer, given)
    reason = ENGINES[engine].supports(job)
    whole = PARTS.get(engine)
    if whole is not None and whole in ENGINES and ENGINES[whole].supports(job) is not None:
        return None
    if reason is None and any(PARTS.get(name) == engine for name in ENGINES):
        return None
    where = (cell.name, engine, _name(dtype), device)
    if reason is not None:
        return Check(*where, reason=reason)
    allowed = truth.allowed(dtype)
    try:
        errors = _errors(_values(layer, given), truth.of(given_in))
    except Exception as fault:  # whatever an engine does wrong is what is looked for
        return Check(*where, allowed, failure=f"{type(fault).__name__}: {fault}")
    worst = max(errors, key=errors.__getitem__)
    return Check(*where, allowed, errors[worst], worst)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _case(cell: Cell, engine: str, dtype: torch.dtype) -> tuple[Recurrent, Sample]:
    """A layer and what goes into it: the same numbers on every engine."""
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
    with seeded():  # numbers that every type holds
        drawn = [torch.rand(v.shape, dtype=torch.float32) - 0.5 for v in found.values()]
    weights = [w.bfloat16().to(v) for w, v in zip(drawn, found.values(), strict=True)]
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


def _errors(found: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    return {value: _error(found[value], right) for value, right in truth.items()}


def _error(found: Tensor, right: Tensor) -> float:
    """The greatest error, relative to the greatest value; infinite for NaN or another shape."""
    if found.shape != right.shape:
        return math.inf
    found = found.double().cpu()
    same = (found == right) | (found.isnan() & right.isnan())  # infinities and NaN among them
    error = float(torch.where(same, 0.0, found - right).abs().max())
    scale = float(right[right.isfinite()].abs().max()) if right.isfinite().any() else 1.0
    return error / max(1.0, scale) if math.isfinite(error) else math.inf
