"""Calls beside one another: streams, interleaving, weights that change, graphs, derivatives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gpu_cases import DEVICE, agree, layer, results, same_bits, sample, twins
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gated
from gated.engines.triton.stepwise import GRAPHS

CASES = [
    pytest.param("lstm", "triton-stepwise", {}, id="stepwise"),
    pytest.param("lstm", "triton-resident", {"maps": gated.Heads(2)}, id="heads"),
    pytest.param("sru", "triton-resident", {}, id="diagonal"),
    pytest.param("minlstm", "scan", {}, id="scan"),
]
each = pytest.mark.parametrize(("cell", "engine", "options"), CASES)
gpu = pytest.mark.skipif(DEVICE != "cuda", reason="streams and graphs are a GPU's")
WARM = 4  # calls after which whatever is kept for equal calls is kept


def made(cell: str, engine: str, options: dict[str, Any]) -> gated.Recurrent:
    return layer(cell, engine, 8, 64, **options)


def trained(of: nn.Module, x: Tensor, lengths: list[int] | None = None) -> list[Tensor]:
    """The output and the gradients of the weights."""
    output = of(x, lengths=lengths)[0]
    return [output.detach(), *torch.autograd.grad(output.square().sum(), [*of.parameters()])]


def bits(one: list[Tensor], other: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@each
def test_two_forwards_then_two_backwards_of_equal_shapes(cell, engine, options):
    of = made(cell, engine, options)
    inputs = [torch.randn(12, 6, 8, device=DEVICE) for _ in range(2)]
    alone = [trained(of, x) for x in inputs]
    for _ in range(WARM):
        outputs = [of(x)[0] for x in inputs]
        for output, expected in zip(outputs, alone, strict=True):
            assert torch.equal(output, expected[0])
        for output, expected in zip(reversed(outputs), reversed(alone), strict=True):
            bits([*torch.autograd.grad(output.square().sum(), [*of.parameters()])], expected[1:])


@each
def test_a_result_that_is_kept_is_not_written_over(cell, engine, options):
    of = made(cell, engine, options)
    kept, copies = [], []
    with torch.no_grad():
        for _ in range(WARM + 2):
            output, state = of(torch.randn(12, 6, 8, device=DEVICE))
            kept.append((output, state))
            copies.append(output.clone())
    for (output, _), copy in zip(kept, copies, strict=True):
        assert torch.equal(output, copy)


@each
def test_weights_changed_in_place_or_replaced_count_at_once(cell, engine, options):
    of = made(cell, engine, options)
    plain = layer(cell, "reference", 8, 64, **options)
    x = torch.randn(12, 6, 8, device=DEVICE)

    def optimise() -> None:
        optimiser = torch.optim.SGD(of.parameters(), lr=0.1)
        of(x)[0].square().sum().backward()
        optimiser.step()
        of.zero_grad()

    def replace() -> None:
        of.weight_ih_l0 = nn.Parameter(torch.randn_like(of.weight_ih_l0) / 4)

    changes = [
        lambda: of.weight_ih_l0.data.mul_(0.5),
        lambda: of.weight_ih_l0.data.copy_(torch.randn_like(of.weight_ih_l0) / 4),
        optimise,
        replace,
    ]
    for change in changes:
        for _ in range(WARM):
            trained(of, x)
        change()
        plain.load_state_dict(of.state_dict())
        for mine, right in zip(trained(of, x), trained(plain, x), strict=True):
            scale = max(1.0, float(right.abs().max()))
            torch.testing.assert_close(mine, right, rtol=0, atol=1e-5 * scale)


@each
def test_the_way_back_can_be_gone_twice(cell, engine, options):
    of = made(cell, engine, options)
    x = torch.randn(12, 6, 8, device=DEVICE, requires_grad=True)
    loss = of(x)[0].square().sum()
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (again,) = torch.autograd.grad(loss, x)
    assert torch.equal(once, again)


@gpu
@each
def test_two_streams_at_once_give_what_one_gives(cell, engine, options):
    of = made(cell, engine, options)
    inputs = [torch.randn(60, 32, 8, device=DEVICE) for _ in range(2)]
    expected = [trained(of, x) for x in inputs]
    streams = [torch.cuda.Stream() for _ in inputs]
    torch.cuda.synchronize()
    found: list[list[list[Tensor]]] = [[], []]
    for _ in range(6):
        for place, (stream, x) in enumerate(zip(streams, inputs, strict=True)):
            with torch.cuda.stream(stream):
                found[place].append(trained(of, x))
    torch.cuda.synchronize()
    for runs, right in zip(found, expected, strict=True):
        for run in runs:
            bits(run, right)


@gpu
@pytest.mark.parametrize("learns", [False, True], ids=["forward", "training"])
def test_a_stepwise_call_that_comes_again_is_replayed_as_a_graph(learns):
    of = layer("peephole", "triton-stepwise", 8, 64)
    x = torch.randn(13, 5, 8, device=DEVICE)
    GRAPHS.entries.clear()
    for _ in range(WARM):
        with torch.set_grad_enabled(learns):
            trained(of, x) if learns else of(x)
    remembered = [*GRAPHS.entries.values()]
    assert len(remembered) == 1 + learns
    assert GRAPHS.record is not None
    assert all(entry.replay is not None for entry in remembered)


@gpu
@each
@pytest.mark.parametrize("learns", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("lengths", [None, [12, 3, 0, 7, 7, 1]], ids=["full", "ragged"])
def test_a_users_graph_captures_a_call(cell, engine, options, learns, lengths):
    of = made(cell, engine, options)
    x = torch.randn(12, 6, 8, device=DEVICE)

    def run() -> list[Tensor]:
        with torch.set_grad_enabled(learns):
            return trained(of, x, lengths) if learns else [of(x, lengths=lengths)[0]]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    for _ in range(3):
        x.copy_(torch.randn_like(x))
        graph.replay()
        replayed = [value.clone() for value in captured]
        for mine, right in zip(replayed, run(), strict=True):
            torch.testing.assert_close(mine, right, rtol=1e-6, atol=1e-6)


@each
def test_second_derivatives_are_the_references(cell, engine, options):
    mine, truth = twins(cell, engine, width=3, hidden=32, **options)
    given = sample(mine, 4, 3)
    found = []
    for of in (mine, truth):
        x = given.x.to(next(of.parameters())).requires_grad_()
        (once,) = torch.autograd.grad(of(x)[0].square().sum(), x, create_graph=True)
        twice = torch.autograd.grad(once.square().sum(), [x, of.weight_ih_l0])
        found.append({"once": once.detach(), "x": twice[0], "weights": twice[1]})
    agree(*found)


@each
def test_a_packed_sequence_comes_back_packed(cell, engine, options):
    of = made(cell, engine, options)
    x, lengths = torch.randn(9, 4, 8, device=DEVICE), [9, 6, 2, 1]
    output, _ = of(pack_padded_sequence(x, lengths))
    padded, back = pad_packed_sequence(output)
    assert back.tolist() == lengths
    assert torch.equal(padded, of(x, lengths=lengths)[0])


@each
def test_layouts_of_memory_change_no_bit(cell, engine, options):
    of = made(cell, engine, options)
    given = sample(of, 9, 4)
    turned = given._replace(x=given.x.transpose(0, 1).contiguous().transpose(0, 1))
    same_bits(results(of, turned), results(of, given))


def test_resets_and_truncation_are_the_references():
    mine, truth = twins("peephole", "triton", width=8, hidden=64)
    given = sample(mine, 12, 5)
    resets = torch.rand(12, 5) < 0.2
    for call in ({"resets": resets}, {"truncate": 4}):
        found = []
        for of in (mine, truth):
            x = given.x.to(next(of.parameters())).requires_grad_()
            output = of(x, **call)[0]
            (gradient,) = torch.autograd.grad(output[-1].square().sum(), x)
            found.append({"output": output.detach(), "gradient": gradient})
        agree(*found)
