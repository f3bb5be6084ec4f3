"""The table of operations: every row has every column, and every column is right."""

from __future__ import annotations

import itertools
import string

import latex2mathml.converter
import numpy as np
import pytest
import torch
from equation_numerics import evaluate, leaf

from gated.equations.backward import gradient
from gated.equations.ops import NORMALIZE_EPS, NOT_FOR_PAGES, OPS, PRODUCTS
from gated.equations.rewrite import NUMBERS
from gated.equations.symbols import Node, apply
from gated.errors import CellError

N = 5


def _normalize(v):
    return (v - v.mean()) / np.sqrt(v.var() + NORMALIZE_EPS)


def _heads(matrix, *vectors):
    """The blocks of a matrix, with each head's part of the vectors."""
    return zip(matrix, *(v.reshape(len(matrix), -1) for v in vectors), strict=True)


def _seen(kernel_shape, extent):
    """Where a kernel's offset o at the place p of an image sees the place q, never the outside."""
    for p in np.ndindex(*extent):
        for o in np.ndindex(*kernel_shape[2:]):
            q = tuple(a + b - n // 2 for a, b, n in zip(p, o, kernel_shape[2:], strict=True))
            if all(0 <= a < n for a, n in zip(q, extent, strict=True)):
                yield p, (..., *o), q


def _convolve(kernel, v):
    result = np.zeros((*v.shape[:-1], kernel.shape[0]))
    for p, o, q in _seen(kernel.shape, v.shape[:-1]):
        result[p] += kernel[o] @ v[q]
    return result


def _convolve_t(kernel, v):
    result = np.zeros((*v.shape[:-1], kernel.shape[1]))
    for p, o, q in _seen(kernel.shape, v.shape[:-1]):
        result[q] += kernel[o].T @ v[p]
    return result


def _convolve_outer(like, a, b):
    result = np.zeros_like(like)
    for p, o, q in _seen(like.shape, a.shape[:-1]):
        result[o] += np.outer(a[p], b[q])
    return result


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
    "select": lambda c, a, b: np.where(c > 0, a, b),
    "blocks": lambda m, v: np.concatenate([part @ head for part, head in _heads(m, v)]),
    "blocks_t": lambda m, v: np.concatenate([part.T @ head for part, head in _heads(m, v)]),
    "blocks_outer": lambda m, a, b: np.stack([np.outer(x, y) for _, x, y in _heads(m, a, b)]),
    "convolve": _convolve,
    "convolve_t": _convolve_t,
    "convolve_outer": _convolve_outer,
}

# The shapes of the operands' values; the units of an image are its last axis.
SHAPES = {
    "matmul": [(3, N), (N,)],
    "matmul_t": [(N, 3), (N,)],
    "outer": [(N,), (3,)],
    "blocks": [(2, 3, 4), (8,)],
    "blocks_t": [(2, 3, 4), (6,)],
    "blocks_outer": [(2, 3, 4), (6,), (8,)],
}
for axes, kernel, extent in (("1", (5,), (7,)), ("2", (3, 5), (4, 3)), ("3", (1, 3, 5), (2, 3, 2))):
    SHAPES |= {
        f"convolve {axes}": [(3, 2, *kernel), (*extent, 2)],
        f"convolve_t {axes}": [(3, 2, *kernel), (*extent, 3)],
        f"convolve_outer {axes}": [(3, 2, *kernel), (*extent, 3), (*extent, 2)],
    }
# an operation, for convolutions with the number of axes
CASES = [op for op in OPS if not op.startswith("convolve")]
CASES += [case for case in SHAPES if case.startswith("convolve")]
PAIRS = ["add", "sub", "mul", "div", "maximum", "minimum"]


def named(case: str) -> str:
    """The operation of a case."""
    return case.split()[0]


def values(shapes, seed=0):
    """Positive, distinct and away from 0, so that every operation is smooth there."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator, dtype=torch.float64) + 0.3 for shape in shapes]


def compare(op: str, args: list[Node], given: list[torch.Tensor]) -> None:
    """First and second derivatives of an operation by its row, against autograd."""
    known = dict(zip(args, given, strict=True))
    # some operands say no more than a place or a shape
    flat = args[:1] if op == "select" or OPS[op].shape == "like" else []
    leaves = [node for node in args if node.op != "constant" and node not in flat]
    known |= {node: known[node].requires_grad_() for node in leaves}
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


def operands(case: str) -> tuple[list[Node], list[torch.Tensor]]:
    op = OPS[named(case)]
    shapes = SHAPES.get(case, [(N,)] * op.arity)
    matrices = () if op.shape in ("elementwise", "reduce", "outer") else (0,)
    # where images are convolved, a node's shape is that of one place: its units
    nodes = [
        leaf(f"v{i}", *(shape if i in matrices else shape[-1:])) for i, shape in enumerate(shapes)
    ]
    return nodes, values(shapes)


def places(case: str) -> int:
    """The number of axes that a value has beside its units."""
    shape = SHAPES[case][-1] if case in SHAPES else (N,)
    return len(shape) - 1


def test_every_operation_has_a_meaning_here():
    assert set(MEANING) == set(OPS) == {named(case) for case in CASES}


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

    def test_has_a_javascript_template_unless_it_convolves_images(self, op):
        fields = {f for _, f, _, _ in string.Formatter().parse(OPS[op].javascript) if f}
        if op.startswith("convolve"):
            assert OPS[op].javascript == NOT_FOR_PAGES
        else:
            operands = set() if op == "ones" else {str(i) for i in range(OPS[op].arity)}
            assert fields - {"heads"} == operands
            assert ("heads" in fields) == op.startswith("blocks")
            assert OPS[op].javascript.strip()

    def test_latex_is_accepted_by_a_converter(self, op):
        letters = ("a_{t}", "b_{t}", "c_{t}")[: OPS[op].arity]
        drawn = latex2mathml.converter.convert(OPS[op].latex.format(*letters))
        assert drawn.startswith("<math")
        assert "\\" not in drawn, "a command was not understood"


@pytest.mark.parametrize("case", CASES)
class TestMeaning:
    def test_computes_in_torch_what_numpy_computes(self, case):
        args, given = operands(case)
        result = apply(named(case), *args)
        actual = evaluate([result], dict(zip(args, given, strict=True)))[result]
        np.testing.assert_allclose(
            actual, MEANING[named(case)](*(v.numpy() for v in given)), rtol=1e-13, atol=1e-15
        )
        shape = tuple(dim.value for dim in result.shape)
        assert actual.shape[actual.dim() - len(shape) :] == shape

    def test_computes_each_row_of_a_batch_as_if_it_stood_alone(self, case):
        args, given = operands(case)
        result = apply(named(case), *args)
        shared = [len(node.shape) > 1 for node in args]  # matrices are the same for all rows
        factors = torch.rand(7, 2, *[1] * (places(case) + 1), dtype=torch.float64)
        rows = [v if one else v * factors for v, one in zip(given, shared, strict=True)]
        whole = evaluate([result], dict(zip(args, rows, strict=True)))[result]
        row = [v if one else v[4, 1] for v, one in zip(rows, shared, strict=True)]
        alone = evaluate([result], dict(zip(args, row, strict=True)))[result]
        torch.testing.assert_close(whole[4, 1], alone, rtol=1e-13, atol=1e-15)

    def test_derivative_has_one_entry_per_operand(self, case):
        args, _ = operands(case)
        result = apply(named(case), *args)
        seed = Node("seed", shape=result.shape)
        parts = OPS[named(case)].derivative(seed, result, *args)
        assert len(parts) == OPS[named(case)].arity

    def test_derivatives_of_both_orders_are_autograds(self, case):
        compare(named(case), *operands(case))


@pytest.mark.parametrize("case", sorted(set(CASES) - {"log", "sqrt"}))  # not defined there
def test_derivatives_of_both_orders_are_autograds_below_zero_too(case):
    args, given = operands(case)
    compare(named(case), args, [-v for v in given])


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


@pytest.mark.parametrize(
    ("op", "sign"),
    [(op, 1) for op in NUMBERS] + [(op, -1) for op in NUMBERS if op not in ("log", "sqrt")],
)
def test_of_numbers_it_gives_what_it_gives_of_vectors(op, sign):
    numbers = [sign * (0.3 + 0.4 * place) for place in range(OPS[op].arity)]
    expected = MEANING[op](*(np.full(N, number) for number in numbers))
    assert np.allclose(NUMBERS[op](*numbers), expected, rtol=1e-14, atol=1e-15)


def test_every_operation_of_a_step_but_products_is_known_for_numbers():
    in_steps = itertools.takewhile(lambda op: op != "heaviside", OPS)
    assert set(NUMBERS) == set(in_steps) - set(PRODUCTS)


class TestSelect:
    """`select(condition, a, b)`: a where the condition is above 0, else b."""

    @pytest.mark.parametrize("shapes", [(1, N, N), (N, 1, N), (N, N, 1), (1, 1, N)])
    def test_one_unit_spreads_over_the_others(self, shapes):
        args = [leaf(f"v{i}", n) for i, n in enumerate(shapes)]
        given = values([(n,) for n in shapes])
        given[0] = given[0] - given[0].mean()
        assert apply("select", *args).shape[0].value == N
        compare("select", args, given)

    @pytest.mark.parametrize("place", [1, 2])
    def test_a_number_may_stand_in_either_place(self, place):
        args, given = operands("select")
        args[place] = Node("constant", value=0.8)
        compare("select", args, given)

    def test_zero_and_not_a_number_take_the_second(self):
        args = [leaf("c", 4), leaf("a", 4), leaf("b", 4)]
        conditions = torch.tensor([1e-300, 0.0, -1.0, float("nan")], dtype=torch.float64)
        known = dict(zip(args, [conditions, torch.ones(4), torch.zeros(4)], strict=True))
        result = apply("select", *args)
        assert evaluate([result], known)[result].tolist() == [1, 0, 0, 0]

    def test_no_gradient_flows_to_the_condition(self):
        args, _ = operands("select")
        result = apply("select", *args)
        derived = gradient([(result, Node("seed", shape=result.shape))])
        assert args[0] not in derived
        assert args[1] in derived

    def test_what_is_not_taken_may_be_nan_and_gets_no_gradient(self):
        args = [leaf("c", 2), leaf("a", 2), leaf("b", 2)]
        result = apply("select", *args)
        seed = Node("seed", shape=result.shape)
        derived = gradient([(result, seed)])
        nan = float("nan")
        given = torch.tensor([[1.0, 0.0], [5.0, nan], [nan, 7.0], [2.0, 3.0]], dtype=torch.float64)
        found = evaluate(
            [result, derived[args[1]], derived[args[2]]],
            dict(zip([*args, seed], given, strict=True)),
        )
        assert found[result].tolist() == [5, 7]
        assert found[derived[args[1]]].tolist() == [2, 0]
        assert found[derived[args[2]]].tolist() == [0, 3]

    def test_its_latex_is_drawn_as_a_table_behind_a_brace(self):
        latex = OPS["select"].latex.format("c_{t}", "a_{t}", "b_{t}")
        drawn = latex2mathml.converter.convert(latex)
        assert "&#x0007B;" in drawn
        assert drawn.count("<mtr>") == 2
        assert drawn.count("<mtd") == 4


class TestBlocks:
    def test_of_one_head_are_a_matrix_product(self):
        matrix, vector = values([(1, 3, 4), (4,)])
        args = [leaf("m", 1, 3, 4), leaf("v", 4)]
        result = apply("blocks", *args)
        found = evaluate([result], dict(zip(args, [matrix, vector], strict=True)))[result]
        torch.testing.assert_close(found, matrix[0] @ vector)

    def test_of_letters_have_the_whole_axis(self):
        result = apply("blocks", leaf("m", 4, "H/4", "P/4"), leaf("v", "P"))
        assert result.shape[0].value == "H"
        assert apply("blocks_t", leaf("m", 4, "H/4", "P/4"), result).shape[0].value == "P"

    @pytest.mark.parametrize(("op", "units"), [("blocks", "H"), ("blocks_t", "P"), ("blocks", 7)])
    def test_of_another_width_do_not_fit(self, op, units):
        with pytest.raises(CellError, match="shape mismatch: m has shape"):
            apply(op, leaf("m", 4, "H/4", "P/4"), leaf("v", units))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("convolve ")])
def test_a_transposed_convolution_is_the_adjoint(case):
    kernel, v = values(SHAPES[case])
    u = values([(*v.shape[:-1], kernel.shape[0])], seed=1)[0]
    forward, back = apply("convolve", *operands(case)[0]), leaf("u", 3)
    nodes = [*forward.args, back]
    transposed = apply("convolve_t", forward.args[0], back)
    found = evaluate([forward, transposed], dict(zip(nodes, [kernel, v, u], strict=True)))
    torch.testing.assert_close((found[forward] * u).sum(), (v * found[transposed]).sum())


@pytest.mark.parametrize(
    ("op", "shapes"),
    [("mul", [(2, 3), (2, 3)]), ("add", [(2, 3), (2, 4)]), ("add", [(2, 3), (2,)])],
)
def test_of_matrices_there_are_only_sums_of_one_shape(op, shapes):
    """Gradients of a matrix that is used twice are added."""
    with pytest.raises(CellError, match="has no meaning"):
        apply(op, *(leaf(f"m{i}", *shape) for i, shape in enumerate(shapes)))
    total = apply("add", leaf("a", 2, 3), leaf("b", 2, 3))
    assert [dim.value for dim in total.shape] == [2, 3]
