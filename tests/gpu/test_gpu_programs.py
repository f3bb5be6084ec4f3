"""torch.compile, torch.export and the operators' own checks, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from gpu_cases import DEVICE, layer
from torch import Tensor
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves, tree_map

import gated
from gated.engines.fused import operators

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler about itself
CASES = [
    pytest.param("lstm", "triton-stepwise", {}, {}, id="stepwise"),
    pytest.param("lstm", "triton-resident", {"maps": gated.Heads(2)}, {}, id="heads"),
    pytest.param("peephole", "triton", {"num_layers": 2, "bidirectional": True}, {}, id="deep"),
    pytest.param("lstm", "triton", {}, {"trace": True}, id="trace"),
    pytest.param("minlstm", "scan", {}, {}, id="scan"),
]
each = pytest.mark.parametrize(("cell", "engine", "options", "call"), CASES)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def outcome(run: Any, of: gated.Recurrent, x: Tensor, **call: Any) -> list[Tensor]:
    output, states, *traces = run(x, **call)
    found = [output, *tree_leaves(states), *(v for t in traces for v in t.at().values())]
    loss = sum((value * value.detach().cos()).sum() for value in found)
    return [*found, *torch.autograd.grad(loss, [x, *of.parameters()])]


def near(one: list[Tensor], other: list[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * max(1.0, float(b.abs().max())))


@each
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_one_whole_graph_serves_all_sizes(cell, engine, options, call, ragged):
    of = layer(cell, engine, 8, 64, **options)
    compiled = torch.compile(of, fullgraph=True, dynamic=True)
    for steps, batch in [(9, 5), (13, 7)]:
        x = torch.randn(steps, batch, 8, device=DEVICE, requires_grad=True)
        given = {"lengths": torch.arange(batch) + 2} if ragged else {}
        near(outcome(compiled, of, x, **call, **given), outcome(of, of, x, **call, **given))


@each
def test_an_exported_program_runs_at_other_sizes(cell, engine, options, call):
    of = layer(cell, engine, 8, 64, **options)
    x = torch.randn(9, 5, 8, device=DEVICE)
    shapes = {"x": {0: Dim("steps"), 1: Dim("rows")}}
    given = {"lengths": torch.tensor([9, 0, 3, 5, 1])}
    program = export(
        of, (x,), given, dynamic_shapes={**shapes, "lengths": {0: shapes["x"][1]}}
    ).module()
    other, lengths = torch.randn(20, 3, 8, device=DEVICE), torch.tensor([20, 4, 0])
    output, _ = program(other, lengths=lengths)
    torch.testing.assert_close(output, of(other, lengths=lengths)[0], rtol=1e-5, atol=1e-5)


class Recorder:
    """Notes with which arguments operators are called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return getattr(torch.ops.gated, name)(*arguments)

        return call


@each
def test_opcheck(cell, engine, options, call, monkeypatch):
    of, recorder = layer(cell, engine, 8, 64, **options), Recorder()
    x = torch.randn(5, 3, 8, device=DEVICE, requires_grad=True)
    with monkeypatch.context() as patch:
        if engine == "scan":
            patch.setattr("gated.engines.scan.operators._ops", recorder)
        else:
            patch.setattr(operators, "_ops", recorder)
            patch.setattr(operators, "needed", lambda value: True)
        outcome(of, of, x, lengths=[5, 0, 3], **call)
    assert {name for name, _ in recorder.calls} & {"loop", "scan"}

    def fresh(learns: bool) -> Any:
        def copy(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return value.detach().clone().requires_grad_(learns and value.requires_grad)

        return copy

    for name, arguments in recorder.calls:
        given = tree_map(fresh(name in ("loop", "scan")), arguments)
        found = torch.library.opcheck(getattr(torch.ops.gated, name), given)
        assert set(found.values()) == {"SUCCESS"}
