"""torch.compile over layers, on the engines that PyTorch's compiler can look into."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils._pytree import tree_leaves

import gated
from gated.errors import EngineError, OptionError

T, B, D, H = 3, 3, 6, 4  # the reference's loop is compiled step by step

# of PyTorch's compiler about itself, where it leaves a graph
pytestmark = pytest.mark.filterwarnings(
    "ignore:Dynamo detected a call to a `functools.lru_cache`",
    "ignore:The .grad attribute of a Tensor that is not a leaf",
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def both(layer: gated.Recurrent, *args: Any, fullgraph: bool = True, **call: Any) -> None:
    """Compiled and as it is, a layer gives the same, and its weights have the same gradients."""
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=fullgraph)
    found = []
    for run in (compiled, layer):
        torch.manual_seed(0)
        values = [v for v in tree_leaves(run(*args, **call)) if v is not None]
        loss = sum(v.square().sum() for v in values if v.requires_grad)
        found.append([*values, *torch.autograd.grad(loss, list(layer.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def sequence() -> Tensor:
    return torch.randn(T, B, D)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {"engine": "torch"}),
        ("gru", {"engine": "torch", "bidirectional": True, "merge": "sum"}),
        ("peephole", {"engine": "reference", "num_layers": 2, "dropout": 0.5, "residual": True}),
        (gated.zoneout("lstm", h=0.5), {"engine": "reference"}),
    ],
    ids=["lstm", "gru", "deep", "noise"],
)
def test_whole(cell, options):
    both(gated.Recurrent(cell, D, H, **options), sequence())


@pytest.mark.parametrize("call", [{"truncate": 2}, {"hx": torch.ones(1, B, H)}], ids=str)
def test_further_arguments(call):
    both(gated.Recurrent("mut1", D, H, engine="reference"), sequence(), **call)


def test_without_fullgraph_lengths_are_right_on_every_engine():
    for engine in ("torch", "reference"):
        both(gated.GRU(D, H, engine=engine), sequence(), fullgraph=False, lengths=[T, 0, 2])


def test_a_whole_graph_on_the_reference_has_no_lengths():
    layer = gated.Recurrent("peephole", D, H, engine="reference")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with pytest.raises(Exception, match="lengths are known only when the program runs"):
        compiled(sequence(), lengths=[T, 0, 2])
    with pytest.raises(EngineError, match="lengths are known only when the program runs"):
        torch.export.export(layer, (sequence(),), {"lengths": torch.tensor([T, 0, 2])})


def test_resets_are_run_beside_the_graph():
    layer = gated.Recurrent("peephole", D, H, engine="reference")
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[1, 1] = True
    both(layer, sequence(), fullgraph=False, resets=resets)
    with pytest.raises(OptionError, match="resets= cut the rows"):
        torch.export.export(layer, (sequence(),), {"resets": resets})


def test_a_packed_sequence_comes_back_as_one():
    layer = gated.LSTM(D, H, engine="torch")
    packed = pack_padded_sequence(sequence(), [T, 2, 1])
    compiled = torch.compile(layer, backend="aot_eager")
    output, _ = compiled(packed)
    assert isinstance(output, PackedSequence)
    torch.testing.assert_close(output.data, layer(packed)[0].data)
    with pytest.raises(OptionError, match="cannot be exported"):
        torch.export.export(layer, (packed,))


def test_a_layer_changed_after_it_was_compiled_is_compiled_anew():
    layer = gated.Recurrent("peephole", D, H, num_layers=2, dropout=0.5, engine="reference")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = sequence()
    assert not torch.equal(compiled(x)[0], compiled(x)[0])
    layer.eval()
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])
    layer.engine = "torch"
    with pytest.raises(Exception, match="no fused operator"):
        compiled(x)


def test_layers_alike_are_compiled_once():
    layers = [gated.Recurrent("peephole", D, H, engine="reference") for _ in range(3)]
    layers.append(copy.deepcopy(layers[0]))
    counter = CompileCounterWithBackend("aot_eager")

    def backend(graph, inputs):  # a function, since Lightning's torch.compile copies its arguments
        return counter(graph, inputs)

    x = sequence()
    for layer in layers:
        torch.testing.assert_close(torch.compile(layer, backend=backend)(x)[0], layer(x)[0])
    assert counter.frame_count == 1
