"""The table of operations: every row has every column, and every column is right."""

from __future__ import annotations

import string

import latex2mathml.converter
import numpy as np
import pytest
import torch
from equation_numerics import evaluate, leaf

from gated.equations.backward import gradient
from gated.equations.ops import NORMALIZE_EPS, OPS
from gated.equations.symbols import Node, apply

N = 5


def _normalize(v):
    return (v - v.mean()) / np.sqrt(v.var() + NORMALIZE_EPS)


# What each operation means, in numpy.
MEANING = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "matmul": np.matmul,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "relu": lambda v: np.where(v > 0, v, 0),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "softplus": lambda v: np.log1p(np.exp(v)),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mean": lambda v: v.mean(keepdims=True),
    "normalize": _normalize,
    "heaviside": lambda v: np.where(v > 0, 1.0, 0.0),
    "ones": np.ones_like,
    "sum": lambda v: v.sum(keepdims=True),
    "matmul_t": lambda m, v: m.T @ v,
    "outer": np.outer,
}
SHAPES = {"matmul": [(3, N), (N,)], "matmul_t": [(N, 3), (N,)], "outer": [(N,), (3,)]}
PAIRS = ["add", "sub", "mul", "div", "maximum", "minimum"]


def values(shapes, seed=0):
    """Positive, distinct and away from 0, so that every operation is smooth there."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator, dtype=torch.float64) + 0.3 for shape in shapes]


def compare(op: str, args: list[Node], given: list[torch.Tensor]) -> None:
    """First and second derivatives of an operation by its row, against autograd."""
    known = {n: v.requires_grad_() for n, v in zip(args, given, strict=True) if n.op != "constant"}
    leaves = list(known)
    result = apply(op, *args)
    actual = evaluate([result], known)[result]
    if not actual.requires_grad:  # a step function: flat, so nothing may flow
        assert not set(leaves) & set(gradient([(result, Node("seed", shape=result.shape))]))
        return

    seed = Node("seed", shape=result.shape, label="dy")
    slope = torch.linspace(0.5, 1.5, actual.numel(), dtype=torch.float64)
    known[seed] = slope.reshape(actual.shape).requires_grad_()
    first = derive([(result, seed)], leaves, known)
    expected = torch.autograd.grad(actual, [known[n] for n in leaves], known[seed],
                                   create_graph=True)  # fmt: skip
    agree(evaluate(first, known), first, expected)

    seeds = [Node("seed", shape=node.shape, label=f"dd{i}") for i, node in enumerate(first)]
    pairs = zip(seeds, expected, strict=True)
    known |= {s: torch.full_like(e, 0.7 + i) for i, (s, e) in enumerate(pairs)}
    wanted = [*leaves, seed]
    second = derive(zip(first, seeds, strict=True), wanted, known)
    twice = torch.autograd.grad(
        expected, [known[n] for n in wanted], [known[s] for s in seeds],
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    agree(evaluate(second, known), second, twice)


def derive(seeded, wanted, known) -> list[Node]:
    """The gradient nodes of `wanted`, a node of zeros where nothing flows."""
    derived = gradient(seeded)
    for node in wanted:
        if node not in derived:
            derived[node] = leaf("zero", *known[node].shape)
            known[derived[node]] = torch.zeros_like(known[node])
    return [derived[node] for node in wanted]


def agree(values, nodes, expected):
    for node, want in zip(nodes, expected, strict=True):
        torch.testing.assert_close(values[node], want, rtol=1e-10, atol=1e-12)


def operands(op: str) -> tuple[list[Node], list[torch.Tensor]]:
    shapes = SHAPES.get(op, [(N,)] * OPS[op].arity)
    return [leaf(f"v{i}", *shape) for i, shape in enumerate(shapes)], values(shapes)


def test_every_operation_has_a_meaning_here():
    assert set(MEANING) == set(OPS)


@pytest.mark.parametrize("op", OPS)
class TestRow:
    def test_is_filed_under_its_own_name(self, op):
        assert OPS[op].name == op

    @pytest.mark.parametrize("column", ["torch", "latex", "text"])
    def test_has_a_template_that_uses_every_operand(self, op, column):
        fields = {f for _, f, _, _ in string.Formatter().parse(getattr(OPS[op], column)) if f}
        wanted = {str(i) for i in range(OPS[op].arity)}
        unused_on_purpose = op == "ones" and column in ("latex", "text")
        assert fields == (set() if unused_on_purpose else wanted)
        assert getattr(OPS[op], column).strip()

    def test_computes_in_torch_what_numpy_computes(self, op):
        args, given = operands(op)
        result = apply(op, *args)
        actual = evaluate([result], dict(zip(args, given, strict=True)))[result]
        np.testing.assert_allclose(
            actual, MEANING[op](*(v.numpy() for v in given)), rtol=1e-13, atol=1e-15
        )
        assert actual.dim() == len(result.shape)

    def test_computes_each_row_of_a_batch_as_if_it_stood_alone(self, op):
        args, given = operands(op)
        rows = [v if v.dim() == 2 else v * torch.rand(7, 2, 1, dtype=v.dtype) for v in given]
        result = apply(op, *args)
        whole = evaluate([result], dict(zip(args, rows, strict=True)))[result]
        row = [v if v.dim() == 2 else v[4, 1] for v in rows]  # matrices are shared by all rows
        one = evaluate([result], dict(zip(args, row, strict=True)))[result]
        torch.testing.assert_close(whole[4, 1], one, rtol=1e-14, atol=1e-15)

    def test_derivative_has_one_entry_per_operand(self, op):
        args, _ = operands(op)
        result = apply(op, *args)
        parts = OPS[op].derivative(Node("seed", shape=result.shape), result, *args)
        assert len(parts) == OPS[op].arity

    def test_derivatives_of_both_orders_are_autograds(self, op):
        compare(op, *operands(op))

    def test_latex_is_accepted_by_a_converter(self, op):
        letters = ("a_{t}", "b_{t}")[: OPS[op].arity]
        assert "<math" in latex2mathml.converter.convert(OPS[op].latex.format(*letters))


@pytest.mark.parametrize("op", sorted(set(OPS) - {"log", "sqrt"}))  # not defined there
def test_derivatives_of_both_orders_are_autograds_below_zero_too(op):
    args, given = operands(op)
    compare(op, args, [-v for v in given])


@pytest.mark.parametrize("op", PAIRS)
@pytest.mark.parametrize("shapes", [(1, N), (N, 1), (1, 1)])
def test_one_unit_spreads_over_the_others(op, shapes):
    args = [leaf(f"v{i}", n) for i, n in enumerate(shapes)]
    assert apply(op, *args).shape[0].value == max(shapes)
    compare(op, args, values([(n,) for n in shapes]))


@pytest.mark.parametrize("op", PAIRS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_constant_takes_no_gradient_and_changes_no_shape(op, side):
    args = [leaf("v", N), leaf("v", N)]
    args[side] = Node("constant", value=0.8)
    assert apply(op, *args).shape[0].value == N
    compare(op, args, values([(N,), (N,)]))


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_where_two_tie_each_gets_half_as_in_pytorch(op):
    args, given = operands(op)
    compare(op, args, [given[0], given[0].clone()])


@pytest.mark.parametrize("op", ["relu", "abs"])
def test_the_derivative_at_the_kink_is_zero_as_in_pytorch(op):
    compare(op, [leaf("v", N)], [torch.zeros(N, dtype=torch.float64)])


def test_the_gradient_of_max_is_finite_where_both_are_minus_infinity():
    args = [leaf("a", 1), leaf("b", 1)]
    seed = Node("seed", shape=args[0].shape)
    derived = gradient([(apply("maximum", *args), seed)])
    minus_infinity = torch.full((1,), float("-inf"), dtype=torch.float64)
    known = dict.fromkeys(args, minus_infinity) | {seed: torch.ones(1, dtype=torch.float64)}
    found = evaluate([derived[n] for n in args], known)
    assert [found[derived[n]].item() for n in args] == [0.5, 0.5]


@pytest.mark.parametrize("at", [-800.0, -40.0, 0.0, 40.0, 800.0])
def test_softplus_is_exact_far_from_zero(at):
    v = leaf("v", 1)
    result = apply("softplus", v)
    actual = evaluate([result], {v: torch.tensor([at], dtype=torch.float64)})[result].item()
    assert actual == pytest.approx(np.logaddexp(0, at), rel=1e-15)


def test_a_gradient_that_comes_by_two_ways_is_summed():
    v = leaf("v", N)
    result = apply("mul", v, apply("tanh", v))
    seed = Node("seed", shape=result.shape)
    derived = gradient([(result, seed)])[v]
    at = np.linspace(-1, 1, N)
    found = evaluate([derived], {v: torch.tensor(at), seed: torch.ones(N, dtype=torch.float64)})
    found = found[derived]
    np.testing.assert_allclose(found, np.tanh(at) + at * (1 - np.tanh(at) ** 2), rtol=1e-13)
