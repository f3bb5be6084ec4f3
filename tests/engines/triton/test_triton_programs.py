"""The GPU engine in programs: torch.compile, torch.export, registered operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fused_cases import Recorder
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves, tree_map

import gated
from gated.engines.fused import operators
from gated.engines.triton import ONE

pytestmark = [
    # of PyTorch about itself, while it traces and saves
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]
D, H = 6, 4
STRATEGIES = list(ONE)
SIZES = [(5, 3), (2, 7)]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def layer(engine: str, **options: Any) -> gated.Recurrent:
    torch.manual_seed(0)
    return gated.Recurrent("lstm", D, H, engine=engine, **options)


def sequence(layer: gated.Recurrent, steps: int, batch: int) -> Tensor:
    dtype = next(layer.parameters()).dtype
    return torch.randn(steps, batch, D, dtype=dtype, requires_grad=True)


def some_lengths(steps: int, batch: int) -> Tensor:
    """From T down."""
    return torch.arange(steps, steps - batch, -1).clamp(min=0)


def results(call: Any, layer: gated.Recurrent, x: Tensor, **options: Any) -> list[Tensor]:
    """Outputs, states, what is traced, and the gradients of the input and the weights."""
    output, states, *traces = call(x, **options)
    found = [output, *tree_leaves(states), *(v for t in traces for v in t.at().values())]
    loss = sum((value * value.detach().cos()).sum() for value in found)
    return [*found, *torch.autograd.grad(loss, [x, *layer.parameters()])]


def agree(one: list[Tensor], two: list[Tensor]) -> None:
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    ("engine", "call", "ragged"),
    [("triton-resident", {"trace": True}, True), ("triton-stepwise", {}, False)],
    ids=["resident", "stepwise"],
)
def test_one_whole_graph_serves_all_sizes_forward_and_backward(engine, call, ragged):
    plain = layer(engine)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(plain, backend=counter, fullgraph=True, dynamic=True)
    graphs = []
    for steps, batch in SIZES:
        given = {**call, "lengths": some_lengths(steps, batch)} if ragged else call
        x = sequence(plain, steps, batch)
        agree(results(compiled, plain, x, **given), results(plain, plain, x, **given))
        graphs.append(counter.frame_count)
    assert len(set(graphs)) == 1


@pytest.mark.parametrize("engine", STRATEGIES)
def test_an_exported_program_runs_at_other_sizes_and_lengths(engine):
    plain = layer(engine)
    shapes = {"x": {0: Dim("T"), 1: Dim("B")}, "lengths": {0: Dim("B")}}
    shapes["lengths"] = {0: shapes["x"][1]}
    call = {"lengths": some_lengths(5, 3)}
    program = export(plain, (sequence(plain, 5, 3),), call, dynamic_shapes=shapes).module()
    for size in [(4, 2), (2, 4), (0, 2)]:
        x, call = sequence(plain, *size), {"lengths": some_lengths(*size)}
        agree(results(program, plain, x, **call), results(plain, plain, x, **call))


@pytest.mark.parametrize("name", ["loop", "train", "back"])
def test_inductor_is_told_that_its_cuda_graphs_cannot_hold_an_operator(name):
    assert torch.Tag.cudagraph_unsafe in getattr(torch.ops.gated, name).default.tags


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [("triton-resident", torch.float32), ("triton-stepwise", torch.bfloat16)],
)
def test_opcheck(engine, dtype, monkeypatch):
    recorder = Recorder()
    plain = layer(engine, dtype=dtype)
    with monkeypatch.context() as patch:
        patch.setattr(operators, "_ops", recorder)
        patch.setattr(operators, "needed", lambda value: True)
        results(plain, plain, sequence(plain, 2, 2), trace=True)
    assert {name for name, _ in recorder.calls} == {"loop", "train", "back"}

    def fresh(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().clone().requires_grad_(value.requires_grad)

    for name, arguments in recorder.calls:
        if name != "loop":  # these have no derivatives
            arguments = tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, arguments)
        found = torch.library.opcheck(getattr(torch.ops.gated, name), tree_map(fresh, arguments))
        assert set(found.values()) == {"SUCCESS"}
