"""Layers on the device, and their truth: the same numbers in the reference engine, in float64."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import gated
from gated.equations import Cell
from gated.equations.graph import length
from gated.errors import EngineError

DEVICE = os.environ.get("GATED_TEST_DEVICE", "cuda")
ENGINES = ("triton", "triton-resident", "triton-stepwise", "scan")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# of the greatest value of a tensor, or of 1: what the order of a sum may change
NEAR = 1e-5
NEAR64 = 1e-12
# so often the error of PyTorch's own operations in a 16-bit type, and never less than so many eps
_TIMES, _LEAST = 2, 4
# what a test found out beside that it passes, for the file of results
NOTED: list[str] = []
Results = dict[str, Tensor]
Call = str | Cell | type[Cell]


class Sample(NamedTuple):
    """What a call takes, in float64, and the gradients that arrive, by the name of the result."""

    x: Tensor
    others: dict[str, Tensor]
    states: list[Tensor]
    lengths: list[int] | None


def layer(
    cell: Call, engine: str, width: int = 5, hidden: int = 37, device: str = DEVICE, **options: Any
) -> gated.Recurrent:
    """A layer on the device, whatever further sizes its cell names; skipped without its engine."""
    own = [n for n in gated.cell(cell).graph.letters if n not in ("D", "H")]
    further = dict.fromkeys(own, max(1, hidden // 2))
    torch.manual_seed(0)
    return gated.Recurrent(cell, width, hidden, engine=engine, device=device, **further, **options)


def twins(
    cell: Call, engine: str, dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[gated.Recurrent, gated.Recurrent]:
    """A layer on the device, and the reference with its weights in float64 on the CPU."""
    mine = layer(cell, engine, **options).to(dtype)
    truth = layer(cell, "reference", **{**options, "device": "cpu"}).double()
    truth.load_state_dict({name: w.cpu().double() for name, w in mine.state_dict().items()})
    return mine, truth


def sample(
    of: gated.Recurrent, steps: int, batch: int, lengths: Sequence[int] | None = None
) -> Sample:
    """Numbers that the layer's type holds exactly; NaN beyond the lengths."""
    dtype = next(of.parameters()).dtype
    letters = {"D": of.input_size, "H": of.hidden_size, **of.sizes}
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(dtype).double()

    graph = of.cell.graph
    x, *others = [draw(steps, batch, length(n, letters)) for n in graph.input_sizes.values()]
    rows = of.num_layers * of.num_directions
    states = [draw(rows, batch, length(s.size, letters)) + 0.5 for s in graph.states]
    x = 2 * x - 0.5
    if lengths is not None:
        for value in (x, *others):
            for row, steps_of in enumerate(lengths):
                value[steps_of:, row] = torch.nan
    x, states = x.to(dtype).double(), [s.to(dtype).double() for s in states]
    names = list(graph.input_sizes)[1:]
    return Sample(x, dict(zip(names, others, strict=True)), states, lengths and [*lengths])


def results(of: gated.Recurrent, given: Sample, trace: bool = False, **further: Any) -> Results:
    """Outputs, states, gates, and the gradients of everything that goes in, by name."""
    like = next(of.parameters())
    x, others, states, _ = entering(of, given)
    leaves = {"x": x, **others}
    leaves |= {f"{s.name}0": v for s, v in zip(of.cell.graph.states, states, strict=True)}
    for value in leaves.values():
        value.requires_grad_()
    found = values(of, x, others, states, given.lengths, trace, **further)
    generator = torch.Generator().manual_seed(2)
    arriving = [
        (torch.rand(v.shape, generator=generator) - 0.5).bfloat16().to(like) for v in found.values()
    ]
    leaves |= dict(of.named_parameters())
    gradients = torch.autograd.grad(
        list(found.values()), list(leaves.values()), arriving,
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    named = zip(leaves, gradients, strict=True)
    return {k: v.detach() for k, v in found.items()} | {f"gradient of {k}": g for k, g in named}


def entering(of: gated.Recurrent, given: Sample) -> Sample:
    """The sample on the layer's device, in its type."""
    like = next(of.parameters())
    others = {name: value.to(like) for name, value in given.others.items()}
    return Sample(given.x.to(like), others, [s.to(like) for s in given.states], given.lengths)


def values(
    of: gated.Recurrent, x: Tensor, others: Mapping[str, Tensor], states: Sequence[Tensor],
    lengths: Sequence[int] | None, trace: bool = False, **further: Any,
) -> Results:  # fmt: skip
    """Output, final states and, if asked for, every gate of every layer and direction."""
    hx = tuple(states) if len(states) > 1 else states[0]
    output, final, *traces = of(x, hx, lengths=lengths, trace=trace, **others, **further)
    finals = final if isinstance(final, tuple) else (final,)
    found = {"output": output}
    found |= {f"final {s.name}": v for s, v in zip(of.cell.graph.states, finals, strict=True)}
    for shown in traces:
        for index in range(of.num_layers):
            for direction in range(of.num_directions):
                named = shown.at(index, direction)
                found |= {f"{n} of {index}, {direction}": v for n, v in named.items()}
    return found


def skip_unless_supported(of: gated.Recurrent, given: Sample, trace: bool = False) -> None:
    """What an engine refuses is shown as skipped; "triton" may refuse nothing of the catalogue."""
    x, others, states, lengths = entering(of, given)
    hx = tuple(states) if len(states) > 1 else states[0]
    try:
        of.choice(x, hx, lengths=lengths, trace=trace, **others)
    except EngineError as refused:
        if of.engine == "triton":
            raise
        pytest.skip(str(refused).partition("; use engine")[0])


def errors(found: Results, truth: Results) -> dict[str, float]:
    """Of each tensor the greatest difference, relative to its greatest value or to 1."""
    assert found.keys() == truth.keys()
    apart = {}
    for name, right in truth.items():
        got = found[name].double().cpu()
        assert got.shape == right.shape, f"{name}: {tuple(got.shape)}, not {tuple(right.shape)}"
        scale = max(1.0, float(right.abs().max())) if right.numel() else 1.0
        apart[name] = float((got - right).abs().max()) / scale if right.numel() else 0.0
    return apart


def agree(found: Results, truth: Results, near: float | Mapping[str, float] = NEAR) -> None:
    """Every tensor is near its truth; those that are not are named, with their errors."""
    apart = errors(found, truth)
    limits = near if isinstance(near, Mapping) else dict.fromkeys(apart, near)
    worst = max(apart, key=lambda name: apart[name] / limits[name])
    NOTED.append(f"{apart[worst]:.1e} of {limits[worst]:.1e}, {worst}")
    far = {  # NaN is far too
        name: f"{e:.1e} of {limits[name]:.1e}" for name, e in apart.items() if not e <= limits[name]
    }
    assert not far, f"off by more than allowed: {far}"


def allowed(
    truth: gated.Recurrent, given: Sample, right: Results, dtype: torch.dtype
) -> float | dict[str, float]:
    """The error that a type may have: in 16 bits, of each result, twice that of PyTorch's
    operations in it."""
    if dtype not in (torch.bfloat16, torch.float16):
        return NEAR64 if dtype == torch.float64 else NEAR
    plain = layer_like(truth, dtype)
    theirs = errors({k: v.double() for k, v in results(plain, given).items()}, right)
    least = _LEAST * torch.finfo(dtype).eps
    return {name: max(least, _TIMES * error) for name, error in theirs.items()}


def layer_like(truth: gated.Recurrent, dtype: torch.dtype) -> gated.Recurrent:
    """The reference in another type, on the CPU."""
    made = gated.Recurrent(
        truth.cell, truth.input_size, truth.hidden_size, truth.num_layers, engine="reference",
        bidirectional=truth.bidirectional, dtype=dtype, **truth.sizes,
    )  # fmt: skip
    made.load_state_dict(truth.state_dict())
    return made


def compare(of: gated.Recurrent, truth: gated.Recurrent, given: Sample, **call: Any) -> None:
    """Outputs, states, gates and gradients of a layer are the truth's, as near as its type is."""
    dtype = next(of.parameters()).dtype
    skip_unless_supported(of, given, **call)
    right = results(truth, given, **call)
    agree(results(of, given, **call), right, allowed(truth, given, right, dtype))


def same_bits(one: Results, other: Results) -> None:
    """Two runs agree in every bit."""
    differ = [name for name, value in one.items() if not torch.equal(value, other[name])]
    assert not differ, f"differ in some bit: {', '.join(differ)}"
