"""The CPU engine in programs: torch.compile, torch.export, fake tensors, registered operators."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fused_cases import Recorder
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves, tree_map

import gated
from gated.engines.cpu.build import unavailable
from gated.engines.cpu.generate import generate
from gated.engines.fused import operators, transcript
from gated.engines.fused.storage import Kept
from gated.equations import Cell, U, W, b, tanh
from gated.equations.graph import Graph
from gated.equations.loop import backward, forward
from gated.equations.maps import mapped
from gated.errors import CellError, EngineError, ShapeError

pytestmark = [
    pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler"),
    # of PyTorch about itself, while it traces and saves
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]
D, H = 6, 4
# T and B: odd, one of each, whole blocks of eight
SIZES = [(5, 3), (1, 1), (8, 8), (7, 2)]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def layer(cell: str | type[Cell] = "lstm", **options: Any) -> gated.Recurrent:
    torch.manual_seed(0)
    return gated.Recurrent(cell, D, H, engine="cpu", **options)


def sequence(recurrent: gated.Recurrent, steps: int, batch: int) -> Tensor:
    shape = (batch, steps, D) if recurrent.batch_first else (steps, batch, D)
    dtype = next(recurrent.parameters()).dtype
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def some_lengths(steps: int, batch: int) -> Tensor:
    """From T down to 0, and again."""
    return torch.arange(steps, steps - batch, -1) % (steps + 1)


def results(call: Any, recurrent: gated.Recurrent, x: Tensor, **options: Any) -> list[Tensor]:
    """Outputs, states, what is traced, and the gradients of the input and the weights."""
    output, states, *traces = call(x, **options)
    found = [output, *tree_leaves(states), *(v for t in traces for v in t.at().values())]
    loss = sum((value * value.detach().cos()).sum() for value in found)
    gradients = torch.autograd.grad(loss, [x, *recurrent.parameters()])
    return [*found, *gradients]


def agree(one: list[Tensor], two: list[Tensor]) -> None:
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other)


CASES = [
    pytest.param("lstm", {}, False, {}, id="lstm"),
    pytest.param("lstm", {"batch_first": True}, True, {}, id="lengths"),
    pytest.param("gru-reset-before", {"num_layers": 2, "bidirectional": True}, True, {}, id="deep"),
    pytest.param("lstm", {}, False, {"trace": True}, id="trace"),
    pytest.param("lstm", {"num_layers": 2}, True, {"trace": True}, id="trace of lengths"),
]


@pytest.mark.parametrize(("cell", "options", "ragged", "further"), CASES)
def test_one_whole_graph_serves_all_sizes_forward_and_backward(cell, options, ragged, further):
    plain = layer(cell, **options)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(plain, backend=counter, fullgraph=True, dynamic=True)
    graphs = []
    for steps, batch in [s for s in SIZES if s != (1, 1)]:
        call = {**further, "lengths": some_lengths(steps, batch)} if ragged else further
        x = sequence(plain, steps, batch)
        agree(results(compiled, plain, x, **call), results(plain, plain, x, **call))
        graphs.append(counter.frame_count)
    assert len(set(graphs)) == 1


def test_compiled_by_inductor():
    plain = layer("lstm", batch_first=True)
    compiled = torch.compile(plain, fullgraph=True, dynamic=True)
    for steps, batch in [(5, 3), (7, 2)]:
        x, lengths = sequence(plain, steps, batch), some_lengths(steps, batch)
        agree(
            results(compiled, plain, x, lengths=lengths), results(plain, plain, x, lengths=lengths)
        )
    assert not counters["graph_break"]


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time-first", "batch-first"])
def test_an_exported_program_runs_at_every_size(batch_first, ragged):
    plain = layer("peephole", batch_first=batch_first, bidirectional=True)
    steps, batch = Dim("T"), Dim("B")
    shapes = {"x": {0: batch, 1: steps} if batch_first else {0: steps, 1: batch}}
    call = {"lengths": some_lengths(5, 3)} if ragged else {}
    if ragged:
        shapes["lengths"] = {0: batch}
    program = export(plain, (sequence(plain, 5, 3),), call, dynamic_shapes=shapes).module()
    for size in [*SIZES, (0, 2), (2, 0)]:
        x = sequence(plain, *size)
        call = {"lengths": some_lengths(*size)} if ragged else {}
        agree(results(program, plain, x, **call), results(plain, plain, x, **call))


def test_an_exported_program_names_a_wrong_length():
    plain = layer()
    program = export(plain, (sequence(plain, 5, 3),), {"lengths": torch.tensor([5, 3, 1])}).module()
    with pytest.raises(ShapeError, match=r"lengths\[1\] is 6, expected an integer from 0 to T = 5"):
        program(sequence(plain, 5, 3), lengths=torch.tensor([5, 6, 0]))


class OnlyHere(Cell):
    """A cell that no other process knows."""

    def step(self, x, h):
        g = tanh(W.g @ x + U.g @ h + b.g)
        h = 0.5 * h + 0.5 * g
        return h


LOAD = """
import sys
import torch
import gated.layers
program = torch.export.load(sys.argv[1]).module()
x, expected = torch.load(sys.argv[2])
torch.testing.assert_close(program(x)[0], expected)
print("the same")
"""


def test_a_saved_program_runs_where_nobody_defined_the_cell(child, tmp_path: Path):
    plain = layer(OnlyHere)
    x = sequence(plain, 5, 3).detach()
    program, result = tmp_path / "layer.pt2", tmp_path / "result.pt"
    torch.export.save(export(plain, (x,)), program)
    torch.save((x, plain(x)[0].detach()), result)
    assert child(LOAD, str(program), str(result)).strip() == "the same"


# -- the operators themselves


def recorded(monkeypatch: pytest.MonkeyPatch, plain: gated.Recurrent, **call: Any) -> Recorder:
    """The operators that a call and its gradients use, where the engine uses them."""
    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(operators, "_ops", recorder)
        patch.setattr(operators, "needed", lambda value: True)
        results(plain, plain, sequence(plain, 5, 3), **call)
    return recorder


def scattered(call: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same call, of which no row reaches the last steps, with tensors that are not dense."""
    *others, total, _, tensors = call
    reach = torch.tensor([len(tensors[-1]), 1, 0, 0])
    apart = [t if t is None else torch.stack([t, t], -1)[..., 0].detach() for t in tensors]
    wanted = [t.requires_grad_() if t is not None else None for t in apart]
    return (*others, total, reach, wanted)


@pytest.mark.parametrize(
    ("cell", "options", "call"),
    [
        ("lstm", {}, {}),
        ("gru-reset-before", {"bidirectional": True}, {"lengths": [5, 0, 3]}),
        ("fgr", {"dtype": torch.float64}, {"trace": True}),
    ],
)
def test_opcheck(cell, options, call, monkeypatch):
    calls = recorded(monkeypatch, layer(cell, **options), **call).calls
    assert {name for name, _ in calls} == {"loop", "train", "back"}

    def fresh(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().clone().requires_grad_(value.requires_grad)

    for name, arguments in [*calls, ("loop", scattered(calls[0][1]))]:
        if name != "loop":  # these have no derivatives
            arguments = tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, arguments)
        found = torch.library.opcheck(getattr(torch.ops.gated, name), tree_map(fresh, arguments))
        assert set(found.values()) == {"SUCCESS"}


def test_steps_that_no_row_has_are_not_read_and_come_out_as_0(monkeypatch):
    plain = layer("lstm", bias=False)
    (_, call), *_ = recorded(monkeypatch, plain).calls
    *named, reverse, traced, total, _, (x, *others) = call
    reach = torch.tensor([2, 1, 1, 0, 0])
    valid = torch.ops.gated.loop(*named, reverse, traced, 4, reach, [x[:4], *others])
    with_nan = torch.cat([x[:4], torch.full((total - 4, D), torch.nan)]).detach().requires_grad_()
    whole = torch.ops.gated.loop(*named, reverse, traced, total, reach, [with_nan, *others])
    assert torch.equal(whole[0][:4], valid[0])
    assert not whole[0][4:].any()
    agree(whole[1:], valid[1:])
    initial = others[-2]
    assert torch.equal(whole[1][2:], initial[2:])
    (gradient,) = torch.autograd.grad(whole[0].sum(), with_nan)
    assert gradient[:4].isfinite().all()
    assert not gradient[4:].any()


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (0, "nobody's", 'engine "nobody\'s" has no loops'),
        (2, [H, 1 << 20], "tensor 0 is"),
        (2, [H], "sizes is"),
        (5, 14, "tensor 0 is"),
        (6, torch.tensor([3, 3, 4]), "batch_sizes is"),
        (6, torch.tensor([9, 5, 1]), "batch_sizes is"),
        (6, torch.tensor([3, 3, -1]), "batch_sizes is"),
    ],
)
def test_an_operator_reads_no_memory_that_it_was_not_given(place, value, complaint, monkeypatch):
    (_, call), *_ = recorded(monkeypatch, layer("lstm", bias=False)).calls
    arguments = list(call)
    arguments[place] = value
    with pytest.raises(EngineError, match=complaint):
        torch.ops.gated.loop(*arguments)


# -- what a program says of its cell


def code(graph: Graph) -> str:
    loop = forward(graph)
    return generate(Kept(loop, backward(loop)), "float").text


@pytest.mark.parametrize("name", gated.cells())
def test_equations_come_back_from_text_as_they_were(name):
    cell = gated.cell(name)
    dense = any(p.family == "U" and len(p.shape) == 2 for p in cell.parameters)
    others = [mapped(cell, {"U": gated.Heads(2)})] if dense else []
    for each in (cell, gated.zoneout(cell, h=0.1).training, *others):
        text = transcript.write(each.graph)
        again = transcript._read(text)
        assert transcript.write(again) == text
        assert code(again) == code(each.graph)


def test_the_cells_name_in_a_program_ends_no_comment():
    text = transcript.write(gated.cell("rnn").graph)
    for name in ('x\\n#include \\"/etc/passwd\\"', "x\\\\", "\\u0000"):
        with pytest.raises(CellError, match="no name of a cell"):
            transcript.read(text.replace('"cell":"rnn"', f'"cell":"{name}"'))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tanh"', '"system"'),
        ('"h"', '"h;"'),
        ('["H","D"]', '["H","D;"]'),
        ('["H","D"]', '["D","D"]'),
        ('"matmul",[', '"matmul",[99,'),
        ('"form":1', '"form":2'),
        ("{", ""),
        ('"nodes"', '"knots"'),
    ],
)
def test_text_that_says_no_cell_is_refused(old, new):
    text = transcript.write(gated.cell("rnn").graph)
    assert old in text
    with pytest.raises(CellError):
        transcript.read(text.replace(old, new))


def test_no_text_cut_or_changed_at_random_does_more_than_be_refused():
    text = transcript.write(gated.cell("gru").graph)
    draw = torch.Generator().manual_seed(0)
    refused = 0
    for _ in range(300):
        at, to = torch.randint(len(text), (2,), generator=draw).tolist()
        for changed in (text[:at], text[:at] + text[to] + text[at + 1 :]):
            try:
                transcript.read(changed)
            except CellError:
                refused += 1
    assert refused > 300


def test_numbers_in_text_are_exact():
    (initial,) = re.findall(r'\["m","H",([^,]*),', transcript.write(gated.cell("slstm").graph))
    assert json.loads(initial) == float("-inf")


# -- tensors without numbers, and what goes to the reference


@pytest.mark.parametrize("call", [{}, {"lengths": [5, 0, 3]}], ids=["full", "ragged"])
def test_fake_and_meta_tensors_have_the_shapes_of_real_ones(call):
    def shapes(recurrent: gated.Recurrent) -> list[Any]:
        x = torch.zeros(5, 3, D, device=recurrent.weight_ih_l0.device, requires_grad=True)
        found = results(recurrent, recurrent, x, **call)
        return [(value.shape, value.dtype) for value in found]

    real = shapes(layer())
    assert shapes(layer(device="meta")) == real
    with FakeTensorMode():
        assert shapes(layer()) == real


TRANSFORMS = {
    "vmap": lambda run, x: torch.vmap(run)(torch.stack([x, 2 * x])),
    "grad": lambda run, x: torch.func.grad(lambda v: run(v).sum())(x),
    "jacrev": lambda run, x: torch.func.jacrev(run)(x),
    "jvp": lambda run, x: torch.func.jvp(run, (x,), (x,))[1],
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_go_to_the_reference(name):
    fused, auto = layer("peephole"), gated.Recurrent("peephole", D, H)
    reference = gated.Recurrent("peephole", D, H, engine="reference")
    reference.load_state_dict(auto.state_dict())
    x = torch.randn(3, 2, D)
    apply = TRANSFORMS[name]
    with pytest.raises(EngineError, match="use engine='auto'"):
        apply(lambda v: fused(v)[0], x)
    agree([apply(lambda v: auto(v)[0], x)], [apply(lambda v: reference(v)[0], x)])


def test_second_derivatives_of_a_program_are_refused():
    plain = layer()
    program = export(plain, (sequence(plain, 5, 3),)).module()
    x = sequence(plain, 5, 3)
    (first,) = torch.autograd.grad(program(x)[0].sum(), x, create_graph=True)
    with pytest.raises(EngineError, match="no second derivatives"):
        first.sum().backward()
    compiled = torch.compile(plain, backend="aot_eager")
    (first,) = torch.autograd.grad(compiled(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        first.sum().backward()


def test_what_it_cannot_run_is_said_when_it_is_compiled():
    compiled = torch.compile(layer(dtype=torch.float16), backend="aot_eager", fullgraph=True)
    with pytest.raises(Exception, match="computes in float32 and float64"):
        compiled(torch.zeros(5, 3, D, dtype=torch.float16))
