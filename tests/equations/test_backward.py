"""The backward equations of every cell against PyTorch's autograd, in float64."""

from __future__ import annotations

import pytest
import torch
from equation_numerics import evaluate, parameters, random_leaves
from small_cells import SMALL

import gated
from gated.equations import Cell, U, W, backward, tanh
from gated.equations.backward import gradient
from gated.equations.symbols import Node

CELLS = [gated.cell(name) for name in gated.cells()] + [cls() for cls in SMALL]
close = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(params=CELLS, ids=lambda cell: cell.name)
def cell(request) -> Cell:
    return request.param


def seeded(cell: Cell) -> tuple[dict[Node, torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Random leaves, the new states computed from them, and the gradients that arrive there."""
    leaves = random_leaves(cell.graph)
    nodes = list(cell.graph.updates.values())
    values = evaluate(nodes, leaves)
    states = [values[node] for node in nodes]
    arriving = [torch.linspace(-1, 2, s.numel(), dtype=s.dtype) for s in states]
    return leaves, states, arriving


def by_leaf(cell: Cell, derived: gated.equations.Backward) -> dict[Node, Node | None]:
    graph = cell.graph
    return (
        {graph.inputs[name]: node for name, node in derived.inputs.items()}
        | {graph.previous[name]: node for name, node in derived.previous.items()}
        | {parameters(graph)[key]: node for key, node in derived.parameters.items()}
    )


def test_every_leaf_gets_its_gradient(cell):
    leaves, states, arriving = seeded(cell)
    derived = backward(cell.graph)
    found = by_leaf(cell, derived)
    assert list(derived.seeds) == [state.name for state in cell.states]
    assert set(found) == set(leaves)

    known = leaves | dict(zip(derived.seeds.values(), arriving, strict=True))
    values = evaluate([node for node in found.values() if node is not None], known)
    expected = torch.autograd.grad(states, list(leaves.values()), arriving, allow_unused=True)
    for leaf, want in zip(leaves, expected, strict=True):
        node = found[leaf]
        if want is None:
            assert node is None, f"{leaf} takes part in nothing"
        else:
            assert node is not None, f"{leaf} takes part in the step"
            torch.testing.assert_close(values[node], want, **close)


def test_the_backward_equations_can_be_derived_again(cell):
    leaves, states, arriving = seeded(cell)
    derived = backward(cell.graph)
    arriving = [value.requires_grad_() for value in arriving]
    known = leaves | dict(zip(derived.seeds.values(), arriving, strict=True))
    first = {leaf: node for leaf, node in by_leaf(cell, derived).items() if node is not None}
    expected = torch.autograd.grad(
        states, [leaves[leaf] for leaf in first], arriving, create_graph=True
    )
    seeds = {n: Node("seed", shape=n.shape, label=f"dd{i}") for i, n in enumerate(first.values())}
    for want, seed in zip(expected, seeds.values(), strict=True):
        known[seed] = torch.linspace(-2, 1, want.numel(), dtype=want.dtype).reshape(want.shape)

    twice = gradient(seeds.items())
    wanted = list(known)[: len(leaves) + len(arriving)]
    values = evaluate([twice[leaf] for leaf in wanted if leaf in twice], known)
    second = torch.autograd.grad(
        expected,
        [known[leaf] for leaf in wanted],
        [known[seed] for seed in seeds.values()],
        allow_unused=True,
        materialize_grads=True,
    )
    for leaf, want in zip(wanted, second, strict=True):
        got = values[twice[leaf]] if leaf in twice else torch.zeros_like(want)
        torch.testing.assert_close(got, want, **close)


def test_an_input_without_influence_has_no_gradient():
    class Deaf(Cell):
        inputs = {"x": "D", "y": "D"}

        def step(self, x, y, h):
            h = tanh(W @ x + U @ h)
            return h

    derived = backward(Deaf().graph)
    assert derived.inputs["y"] is None
    assert derived.inputs["x"] is not None


def test_deriving_leaves_the_forward_graph_as_it_was():
    graph = gated.cell("lstm").graph
    before = [(node, node.op, node.args, node.name) for node in graph.nodes()]
    backward(graph)
    assert [(node, node.op, node.args, node.name) for node in graph.nodes()] == before


def test_what_is_fixed_lets_no_gradient_through():
    graph = gated.cell("lstm").graph
    seed = Node("seed", shape=graph.updates["c"].shape)
    gates = {graph.equations[name] for name in "ifgo"}
    derived = gradient([(graph.updates["c"], seed)], fixed=gates)
    assert graph.previous["c"] in derived
    assert graph.previous["h"] not in derived
