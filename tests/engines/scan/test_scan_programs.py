"""The scan engine in programs: torch.compile, torch.export, fake tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from scan_cases import Chain
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves

import gated
from gated import engines
from linear_cells import LINEAR, Window

D, H = 6, 4
SIZES = [(5, 3), (7, 2)]

# of PyTorch about itself, while it traces
pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def layer(cell: Any = LINEAR[0], **options: Any) -> gated.Recurrent:
    torch.manual_seed(0)
    return gated.Recurrent(cell, D, H, engine="scan", **options)


def lengths(steps: int, batch: int) -> Tensor:
    """From T down to 0, and again."""
    return torch.arange(steps, steps - batch, -1) % (steps + 1)


def results(call: Any, plain: gated.Recurrent, size: tuple[int, int], **options: Any) -> Any:
    """Outputs, states, what is traced, and the gradients of the input and the weights."""
    torch.manual_seed(1)
    x = torch.randn(*size, D, requires_grad=True)
    output, states, *traces = call(x, **options)
    found = [output, *tree_leaves(states), *(v for t in traces for v in t.at().values())]
    loss = sum((value * value.detach().cos()).sum() for value in found)
    return [*found, *torch.autograd.grad(loss, [x, *plain.parameters()])]


def agree(one: list[Tensor], two: list[Tensor]) -> None:
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    ("cell", "options", "ragged", "further"),
    [
        pytest.param(Window, {}, False, {"trace": True}, id="trace"),
        pytest.param(LINEAR[0], {"bidirectional": True}, True, {}, id="ragged"),
    ],
)
def test_one_whole_graph_serves_all_sizes_forward_and_backward(cell, options, ragged, further):
    plain = layer(cell, **options)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(plain, backend=counter, fullgraph=True, dynamic=True)
    graphs = []
    for size in SIZES:
        call = {**further, "lengths": lengths(*size)} if ragged else further
        agree(results(compiled, plain, size, **call), results(plain, plain, size, **call))
        graphs.append(counter.frame_count)
    assert len(set(graphs)) == 1


def test_auto_takes_it_for_short_sequences_too_where_lengths_are_not_known(monkeypatch):
    monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed("scan"))
    plain = gated.Recurrent(LINEAR[0], D, H)
    compiled = torch.compile(plain, backend="aot_eager", fullgraph=True)
    x, ragged = torch.randn(5, 3, D), lengths(5, 3)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x, lengths=ragged)[0], plain(x, lengths=ragged)[0])


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_an_exported_program_runs_at_every_size(ragged):
    plain = layer(bidirectional=True)
    steps, batch = Dim("T"), Dim("B")
    shapes: dict[str, Any] = {"x": {0: steps, 1: batch}}
    call = {"lengths": lengths(5, 3)} if ragged else {}
    if ragged:
        shapes["lengths"] = {0: batch}
    example = (torch.randn(5, 3, D),)
    program = export(plain, example, call, dynamic_shapes=shapes).module()
    for size in [*SIZES, (1, 1), (0, 2), (2, 0)]:
        call = {"lengths": lengths(*size)} if ragged else {}
        agree(results(program, plain, size, **call), results(plain, plain, size, **call))


def test_fake_tensors_have_the_shapes_of_real_ones():
    with FakeTensorMode():
        fake = results(plain := layer(Chain), plain, (5, 3))
    real = results(plain := layer(Chain), plain, (5, 3))
    assert [v.shape for v in fake] == [v.shape for v in real]
