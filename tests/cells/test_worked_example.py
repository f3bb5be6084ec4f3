"""The worked example: four words through an LSTM of two units whose weights are all 0.5."""

from __future__ import annotations

import pytest
import torch

import gated
from gated.equations.backward import gradient
from gated.equations.graph import fold
from gated.equations.ops import OPS
from gated.equations.symbols import Node

WORDS = [[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]]
# t: f, c, h; every unit has the same value
TABLE = [
    (0.549834, 0.108524, 0.059437),
    (0.647812, 0.422538, 0.258520),
    (0.551942, 0.346668, 0.184027),
    (0.727907, 0.801769, 0.484076),
]
SOURCES_TABLE = [(0.108, 0.059), (0.422, 0.258), (0.346, 0.184), (0.802, 0.483)]


def evaluate(roots, known):
    scope = {"sigmoid": torch.sigmoid, "torch": torch, "linear": torch.nn.functional.linear}

    def value(node: Node, args):
        if node in known:
            return known[node]
        if node.op == "constant":
            return torch.tensor(node.value, dtype=torch.float64)
        return eval(
            OPS[node.op].torch.format("a", "b"), scope | dict(zip("ab", args, strict=False))
        )

    return fold(roots, value)


@pytest.fixture(scope="module")
def steps():
    """The value of every node, step by step, and the states as leaves that autograd follows."""
    graph = gated.cell("lstm").graph
    weights = {
        node: torch.zeros(2, dtype=torch.float64)
        if node.label.startswith("b.")
        else torch.full((2, 2), 0.5, dtype=torch.float64)
        for node in graph.nodes()
        if node.op == "parameter"
    }
    h = torch.zeros(2, dtype=torch.float64)
    c = torch.zeros(2, dtype=torch.float64)
    result = []
    for word in WORDS:
        c.requires_grad_() if c.is_leaf else c.retain_grad()
        known = weights | {
            graph.inputs["x"]: torch.tensor(word, dtype=torch.float64),
            graph.previous["h"]: h,
            graph.previous["c"]: c,
        }
        values = evaluate(graph.updates.values(), known)
        named = {name: values[node] for name, node in graph.equations.items()}
        h, c = named["h"], named["c"]
        result.append((known, named))
    c.retain_grad()
    return result


def test_the_table(steps):
    for (_, named), expected in zip(steps, TABLE, strict=True):
        for name, value in zip("fch", expected, strict=True):
            assert named[name].tolist() == pytest.approx([value, value], abs=5e-7)


def test_the_sources_table_which_rounds_at_each_step(steps):
    for (_, named), (c, h) in zip(steps, SOURCES_TABLE, strict=True):
        assert named["c"].tolist() == pytest.approx([c, c], abs=1.5e-3)
        assert named["h"].tolist() == pytest.approx([h, h], abs=1.5e-3)


def test_the_direct_path_is_the_product_of_the_forget_gates(steps):
    graph = gated.cell("lstm").graph
    seed = Node("seed", shape=graph.updates["c"].shape)
    gates = {graph.equations[name] for name in "ifgo"}
    back = gradient([(graph.updates["c"], seed)], fixed=gates)[graph.previous["c"]]
    arriving, found = torch.ones(2, dtype=torch.float64), []
    for known, _ in reversed(steps[1:]):
        arriving = evaluate([back], known | {seed: arriving})[back]
        found.append(arriving[0].item())
    assert found == pytest.approx([0.728, 0.402, 0.260], abs=5e-4)


def test_the_total_gradient_is_not_the_direct_path_alone(steps):
    last = steps[-1][1]["c"]
    earlier = [named["c"] for _, named in steps[:-1]]
    found = torch.autograd.grad(last.sum(), earlier, retain_graph=True)
    assert [g[0].item() for g in reversed(found)] == pytest.approx(
        [0.9886, 0.9378, 0.9515], abs=5e-5
    )
