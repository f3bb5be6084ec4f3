"""The equations as text for a terminal and as LaTeX."""

from __future__ import annotations

import ast
import operator
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from random import Random

import latex2mathml.converter
import pytest
from equation_numerics import leaf
from hypothesis import given, reject
from hypothesis import strategies as st
from small_cells import SMALL

import gated
from gated.equations import Cell, Family, W, absolute, b, exp, normalize, sigmoid, tanh
from gated.equations.dims import Dim
from gated.equations.graph import fold
from gated.equations.render import expression, latex_lines
from gated.equations.symbols import Node, Symbol, apply

CELLS = [gated.cell(name) for name in gated.cells()] + [cls() for cls in SMALL]


def test_the_lstm_as_text():
    assert gated.cell("lstm").text() == (
        "i = σ(W_i x + U_i h₋ + b_i)\n"
        "f = σ(W_f x + U_f h₋ + b_f)\n"
        "g = tanh(W_g x + U_g h₋ + b_g)\n"
        "o = σ(W_o x + U_o h₋ + b_o)\n"
        "c = f ⊙ c₋ + i ⊙ g\n"
        "h = o ⊙ tanh(c)"
    )


def test_the_gru_as_text():
    assert gated.cell("gru").text() == (
        "r = σ(W_r x + U_r h₋ + b_r)\n"
        "z = σ(W_z x + U_z h₋ + b_z)\n"
        "n = tanh(W_n x + b_n + r ⊙ (U_n h₋ + b'_n))\n"
        "h = (1 - z) ⊙ n + z ⊙ h₋"
    )


def test_the_lstm_as_latex():
    assert gated.cell("lstm").latex() == (
        "\\begin{aligned}\n"
        "i_{t} &= \\sigma\\left(W_{i} x_{t} + U_{i} h_{t-1} + b_{i}\\right) \\\\\n"
        "f_{t} &= \\sigma\\left(W_{f} x_{t} + U_{f} h_{t-1} + b_{f}\\right) \\\\\n"
        "g_{t} &= \\tanh\\left(W_{g} x_{t} + U_{g} h_{t-1} + b_{g}\\right) \\\\\n"
        "o_{t} &= \\sigma\\left(W_{o} x_{t} + U_{o} h_{t-1} + b_{o}\\right) \\\\\n"
        "c_{t} &= f_{t} \\odot c_{t-1} + i_{t} \\odot g_{t} \\\\\n"
        "h_{t} &= o_{t} \\odot \\tanh\\left(c_{t}\\right)\n"
        "\\end{aligned}"
    )


def test_the_gru_as_latex():
    assert gated.cell("gru").latex().splitlines()[3:5] == [
        "n_{t} &= \\tanh\\left(W_{n} x_{t} + b_{n} + r_{t} \\odot (U_{n} h_{t-1} + b'_{n})\\right)"
        " \\\\",
        "h_{t} &= (1 - z_{t}) \\odot n_{t} + z_{t} \\odot h_{t-1}",
    ]


def test_printing_a_cell_prints_its_equations():
    assert str(gated.cell("rnn")) == gated.cell("rnn").text() == "h = tanh(W x + U h₋ + b)"


def test_equal_signs_stand_below_each_other():
    lines = gated.cell("slstm").text().splitlines()
    assert len({line.index(" = ") for line in lines}) == 1


def test_longer_names_in_latex():
    latex = gated.cell("gru-d").latex()
    assert r"\gamma_{x,t} &= \exp\left(" in latex
    assert r"\hat{h}_{t} &= \gamma_{h,t} \odot h_{t-1}" in latex
    assert r"\mathrm{mask}_{t}" in latex
    assert r"x_{\mathrm{last},t-1}" in latex
    assert r"W^{\gamma}_{x} \odot \mathrm{delta}_{t}" not in latex
    assert r"W^{\gamma}_{x} \odot \delta_{t}" in latex
    # a name that is also a function's is upright, not the function
    assert r"\mathrm{logf}_{t}" in gated.cell("slstm").latex()


def test_longer_families_in_latex():
    class Long(Cell):
        def step(self, x, h):
            h = Family("gain").c * tanh(Family("gamma").x_y @ x) + Family("Q", latex=r"\hat{Q}") * h
            return h

    assert Long().text() == "h = gain_c ⊙ tanh(gamma_x_y x) + Q ⊙ h₋"
    assert (
        r"\mathrm{gain}_{c} \odot \tanh\left(\gamma_{\mathrm{x\_y}} x_{t}\right) + \hat{Q} \odot"
        in Long().latex()
    )


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_cells_latex_is_accepted_by_a_converter(cell):
    # the converter knows `aligned` by its other name only
    block = cell.latex().replace("{aligned}", "{split}")
    tree = ElementTree.fromstring(latex2mathml.converter.convert(block))
    table = tree.find(".//{*}mtable")  # the outermost: `select` is drawn as a table of its own
    assert table is not None
    rows = table.findall("{*}mtr")
    assert len(rows) == len(cell.graph.equations)
    assert "\\" not in "".join(tree.itertext())


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_each_line_of_latex_stands_alone_too(cell):
    lines = latex_lines(cell.graph)
    assert len(lines) == len(cell.graph.equations)
    for line in lines:
        tree = ElementTree.fromstring(latex2mathml.converter.convert(line))
        assert not {"\\", "&"} & set("".join(tree.itertext()))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_equation_has_a_line_in_both(cell):
    names = list(cell.graph.equations)
    assert [line.split(" = ")[0].rstrip() for line in cell.text().splitlines()] == names
    assert len(cell.latex().splitlines()) == len(names) + 2


@pytest.mark.parametrize(
    ("value", "text", "latex"),
    [
        (1, "1", "1"),
        (0.1, "0.1", "0.1"),
        (1.0507009873554805, "1.0507009873554805", "1.0507009873554805"),
        (1e-5, "1e-05", "10^{-5}"),
        (2.5e-7, "2.5e-07", r"2.5 \cdot 10^{-7}"),
        (float("inf"), "∞", r"\infty"),
    ],
)
def test_numbers_are_written_exactly(value, text, latex):
    class Scaled(Cell):
        def step(self, x, h):
            h = value * h + W @ x
            return h

    assert Scaled().text() == f"h = {text} ⊙ h₋ + W x"
    assert f"= {latex} \\odot" in Scaled().latex()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (lambda x, h: h - (x - h), "h₋ - (x - h₋)"),
        (lambda x, h: h - (x + h), "h₋ - (x + h₋)"),
        (lambda x, h: h + (x - h), "h₋ + x - h₋"),
        (lambda x, h: h - x * h, "h₋ - x ⊙ h₋"),
        (lambda x, h: (h - x) * h, "(h₋ - x) ⊙ h₋"),
        (lambda x, h: h / (x * h), "h₋ / (x ⊙ h₋)"),
        (lambda x, h: h / (x / h), "h₋ / (x / h₋)"),
        (lambda x, h: h / x / h, "h₋ / x / h₋"),
        (lambda x, h: -(h + x), "-(h₋ + x)"),
        (lambda x, h: -(h * x), "-h₋ ⊙ x"),
        (lambda x, h: -1 * -h, "-1 ⊙ (-h₋)"),
        (lambda x, h: operator.neg(-h), "-(-h₋)"),
        (lambda x, h: h - (-x), "h₋ - (-x)"),
        (lambda x, h: h * (-2), "h₋ ⊙ (-2)"),
        (lambda x, h: h + (-2) * x, "h₋ + (-2 ⊙ x)"),
        (lambda x, h: W.a @ (h + x), "W_a (h₋ + x)"),
        (lambda x, h: W.a @ (W.b @ x), "W_a (W_b x)"),
        (lambda x, h: W.a @ (h * x), "W_a (h₋ ⊙ x)"),
        (lambda x, h: W.a @ tanh(x), "W_a tanh(x)"),
        (lambda x, h: -(W.a @ x), "-W_a x"),
        (lambda x, h: h * (W.a @ x), "h₋ ⊙ W_a x"),
        (lambda x, h: absolute(h - x), "|h₋ - x|"),
        (lambda x, h: exp(-(h + x)), "exp(-(h₋ + x))"),
        (lambda x, h: normalize(h) * b.g, "norm(h₋) ⊙ b_g"),
    ],
)
def test_parentheses_stand_where_they_are_needed(step, text):
    class One(Cell):
        inputs = {"x": "H"}

        def step(self, x, h):
            h = step(x, h)
            return h

    assert One().text() == f"h = {text}"


def test_a_fraction_needs_no_parentheses_in_latex():
    class Ratio(Cell):
        inputs = {"x": "H"}

        def step(self, x, h):
            h = (h + x) / (h * x) * (1 / x)
            return h

    assert r"\frac{h_{t-1} + x_{t}}{h_{t-1} \odot x_{t}} \odot \frac{1}{x_{t}}" in Ratio().latex()


def test_an_expression_is_written_by_its_name_if_it_has_one():
    graph = gated.cell("lstm").graph
    assert expression(graph.equations["f"]) == "f"
    assert expression(graph.equations["c"].args[0]) == "f ⊙ c₋"


# Random expressions, written as text, read back with Python's own precedence and computed with
# exact fractions: sums and products as they are, functions and matrix products as arbitrary but
# fixed functions of their names and arguments, so that equal values mean equal expressions.

FUNCTIONS = {
    "sigmoid": "σ", "tanh": "tanh", "relu": "relu", "exp": "exp", "log": "log", "sqrt": "sqrt",
    "softplus": "softplus", "maximum": "max", "minimum": "min", "mean": "mean",
    "normalize": "norm", "sum": "sum",
}  # fmt: skip
OPERATORS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul,
             "div": operator.truediv, "neg": operator.neg}  # fmt: skip
LEAVES = {"x": Fraction(7, 3), "h_last": Fraction(-5, 11), "b_k": Fraction(13, 17)}


def opaque(name: str, *args: Fraction) -> Fraction:
    return Fraction(Random(repr((name, args))).randint(1, 10**6), 997)


def node_value(node: Node, args: list[Fraction]) -> Fraction | str:
    if node.op == "constant":
        return Fraction(node.value)
    if node.op in FUNCTIONS:
        return opaque(FUNCTIONS[node.op], *args)
    if node.op == "matmul":
        return opaque(args[0], args[1])
    if node.op in OPERATORS:
        return OPERATORS[node.op](*args)
    if node.op == "parameter" and len(node.shape) == 2:
        return node.label.replace(".", "_")
    return LEAVES[{"x": "x", "h": "h_last", "b.k": "b_k"}[node.label]]


def read_back(text: str) -> Fraction:
    # a matrix and what it multiplies bind more tightly than a sign, as ** does in Python
    python = text.replace("⊙", "*").replace("h₋", "h_last").replace("M_k ", "M_k ** ")
    return ast_value(ast.parse(python, mode="eval").body)


def ast_value(tree: ast.expr) -> Fraction:
    match tree:
        case ast.BinOp(ast.Name(name), ast.Pow(), right):
            return opaque(name, ast_value(right))
        case ast.BinOp(left, op, right):
            arithmetic = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
                          ast.Div: operator.truediv}  # fmt: skip
            return arithmetic[type(op)](ast_value(left), ast_value(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -ast_value(operand)
        case ast.Call(ast.Name(name), args):
            return opaque(name, *map(ast_value, args))
        case ast.Name(name):
            return LEAVES[name]
        case ast.Constant(value):
            return Fraction(value)
    raise AssertionError(ast.dump(tree))


def vector(label: str, op: str = "input") -> Node:
    return leaf(label, "H", op=op)


MATRIX = Node("parameter", shape=(Dim("H"), Dim("H")), label="M.k", symbol=Symbol(Family("M"), "k"))
BIAS = Node("parameter", shape=(Dim("H"),), label="b.k", symbol=Symbol(b, "k"))
VECTORS = st.sampled_from([vector("x"), vector("h", op="state"), BIAS])
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda v: Node("constant", value=v + 0.0))


def larger(smaller: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    either = smaller | NUMBERS
    two = ["add", "sub", "mul", "div", "maximum", "minimum"]
    one = ["neg", *(op for op in FUNCTIONS if op not in two)]
    return (
        st.builds(apply, st.sampled_from(two), smaller, either)
        | st.builds(apply, st.sampled_from(two), either, smaller)
        | st.builds(apply, st.sampled_from(one), smaller)
        | st.builds(lambda v: apply("matmul", MATRIX, apply("add", BIAS, v)), smaller)
        | st.builds(lambda v: apply("matmul", MATRIX, apply("mul", v, BIAS)), smaller)
        | st.builds(lambda v: apply("matmul", MATRIX, v), VECTORS)
    )


@given(st.recursive(VECTORS, larger, max_leaves=12))
def test_text_read_back_is_the_same_expression(node):
    try:
        value = fold([node], node_value)[node]
    except ZeroDivisionError:
        reject()
    assert read_back(expression(node)) == value


def test_reading_back_would_notice_a_missing_parenthesis():
    x, h = LEAVES["x"], LEAVES["h_last"]
    assert read_back("x - (h₋ - x)") == x - (h - x)
    assert read_back("x - h₋ - x") != x - (h - x)
    assert read_back("M_k x + h₋") == opaque("M_k", x) + h
    assert read_back("M_k (x + h₋)") == opaque("M_k", x + h)


def test_a_gate_of_one_letter_and_its_greek_name_are_told_apart():
    class Greek(Cell):
        def step(self, x, h):
            sigma = sigmoid(W.a @ x)
            h = sigma * h
            return h

    assert r"\sigma_{t} &= \sigma\left(W_{a} x_{t}\right)" in Greek().latex()
