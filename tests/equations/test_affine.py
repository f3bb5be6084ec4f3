"""Which states are affine in themselves, and with which coefficient and offset."""

from __future__ import annotations

import math

import pytest

import gated
from gated.equations import Cell, R, U, V, W, b, mean, p, relu, select, tanh
from gated.equations.affine import recurrences
from gated.equations.facts import diagonal, linear
from gated.equations.graph import fold
from gated.equations.maps import Heads, mapped
from gated.equations.rewrite import NUMBERS
from gated.equations.symbols import Node
from gated.errors import CellError
from linear_cells import LINEAR, Window


def value(node: Node, at: dict[str, float]) -> float:
    """A node of vectors of one unit, given its leaves; a product is that of numbers."""

    def compute(node: Node, args: list[float]) -> float:
        if node.op == "constant":
            return node.value
        if node.op in ("input", "state", "parameter"):
            return at[node.label]
        return math.prod(args) if node.op == "matmul" else NUMBERS[node.op](*args)

    return fold([node], compute)[node]


def leaves(cell: Cell) -> dict[str, float]:
    names = [n.label for n in cell.graph.nodes() if n.label]
    return {name: math.sin(3 + 7 * k) for k, name in enumerate(dict.fromkeys(names))}


class Chain(Cell):
    """The second state reads the first, through a matrix and a squashing function."""

    def step(self, x, h, s):
        s = p.s * s + W.s @ x
        h = h / (1 + relu(s)) - tanh(U @ s + b.h)
        return h, s


class Forms(Cell):
    """Every operation that leaves a state affine."""

    def step(self, x, h):
        g = W.g @ x
        kept = select(W.m @ x, h, -(g - h) * p.k)
        h = g - (2 * kept + h / (1 + g * g)) + select(g, 1, h) - -h
        return h


class Total(Cell):
    def step(self, x, h):
        h = h + W @ x
        return h


@pytest.mark.parametrize("cell", [*map(gated.cell, LINEAR), Window(), Chain(), Forms(), Total()],
                         ids=lambda cell: cell.name)  # fmt: skip
def test_a_state_is_its_coefficient_times_the_last_one_plus_its_offset(cell):
    at = leaves(cell)
    found = recurrences(cell.graph)
    assert found
    for one in found:
        a = 0.0 if one.coefficient is None else value(one.coefficient, at)
        said = a * at[one.state] + value(one.offset, at)
        assert said == pytest.approx(value(cell.graph.updates[one.state], at), rel=1e-13)
        moved = {**at, one.state: 5.0}
        assert one.coefficient is None or value(one.coefficient, moved) == a
        assert value(one.offset, moved) == value(one.offset, at)


@pytest.mark.parametrize("name", [n for n in gated.cells() if len(gated.cell(n).states) == 1])
@pytest.mark.parametrize("maps", ["dense", "diagonal"])
def test_a_cell_of_one_state_has_them_where_it_is_linear_and_diagonal(name, maps):
    graph = mapped(gated.cell(name), maps).graph if maps != "dense" else gated.cell(name).graph
    if linear(graph) and diagonal(graph):
        assert [one.state for one in recurrences(graph)] == [s.name for s in graph.states]
    else:
        with pytest.raises(CellError):
            recurrences(graph)


def test_states_stand_in_an_order_in_which_each_reads_earlier_ones_alone():
    assert [one.state for one in recurrences(Chain().graph)] == ["s", "h"]


def test_a_state_that_no_step_reads_is_left_out():
    assert [one.state for one in recurrences(Window().graph)] == ["q", "c"]


def test_a_state_that_does_not_read_itself_has_no_coefficient():
    graph = Window().graph
    found = {one.state: one.coefficient for one in recurrences(graph)}
    assert found == {"q": None, "c": graph.equations["f"]}


def test_a_factor_of_one_is_not_multiplied_with():
    (one,) = recurrences(Total().graph)
    assert (one.coefficient.op, one.coefficient.value) == ("constant", 1.0)
    assert one.offset.op == "matmul"


class Mixed(Cell):
    def step(self, x, h):
        h = 0.5 * h + mean(h) + W @ x
        return h


class Squared(Cell):
    def step(self, x, h):
        h = h * h + W @ x
        return h


class Branching(Cell):
    def step(self, x, h):
        h = select(h, W @ x, 0.5 * h)
        return h


class Divided(Cell):
    def step(self, x, h):
        h = (W @ x) / h
        return h


class Rotation(Cell):
    def step(self, x, h, c):
        c, h = p.a * c + h + V @ x, p.b * h - c
        return h, c


class Linked(Cell):
    """Coupled by a new value, which reads the other's last one."""

    def step(self, x, h, c):
        c = p.a * h + R @ x
        h = p.b * c + 0.5 * h + U @ c
        return h, c


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Mixed, "mean mixes the units of the state h"),
        (Squared, r"mul is not linear in the state h"),
        (Branching, "is not linear in the state h"),
        (Divided, "is not linear in the state h"),
        (Rotation, "the states h and c depend on one another"),
        (Linked, "U mixes the units of the state h"),
    ],
)
def test_what_is_not_affine_unit_by_unit_is_refused_with_the_reason(cell, reason):
    with pytest.raises(CellError, match=reason):
        recurrences(cell().graph)


def test_the_reason_names_the_equation():
    with pytest.raises(CellError, match=r"h = tanh\(\.\.\.\) is not linear in the state h"):
        recurrences(mapped(gated.cell("rnn"), "diagonal").graph)
    with pytest.raises(CellError, match="U mixes the units"):
        recurrences(mapped(gated.cell("rnn"), Heads(2)).graph)
