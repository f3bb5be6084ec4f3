"""What is derived from a cell's equations alone."""

from __future__ import annotations

import pytest
import small_cells as small

import gated
from gated.equations import Cell, R, U, V, W, b, exp, maximum, mean, p, sigmoid, tanh
from gated.equations.render import expression


def shapes(cell: Cell) -> dict[str, tuple]:
    return {p.key: p.shape for p in cell.parameters}


class Tied(Cell):
    """The forget gate is what the input gate leaves (CIFG)."""

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = 1 - i
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * tanh(W.g @ x + U.g @ h + b.g)
        h = o * tanh(c)
        return h, c


class Unnamed(Cell):
    """A GRU whose candidate has no name."""

    def step(self, x, h):
        z = sigmoid(W.z @ x + U.z @ h)
        h = z * h + (1 - z) * tanh(W.n @ x + U.n @ h)
        return h


class Linear(Cell):
    """Linear in the state, with a matrix."""

    def step(self, x, h):
        h = -(U @ h) / 2 + exp(maximum(V.a @ x, 0)) * (h - W.a @ x) + mean(h)
        return h


class Extreme(Cell):
    """A maximum of the state: not linear, though each unit sees only itself."""

    def step(self, x, h):
        h = maximum(h, W @ x)
        return h


class Squared(Cell):
    """A product of the state with itself."""

    def step(self, x, h):
        h = h * (1 - h) + W @ x
        return h


class Hyperbolic(Cell):
    """The state in a denominator."""

    def step(self, x, h):
        h = (W @ x) / (1 + h)
        return h


class Rotated(Cell):
    """Linear in the state, three products in a row."""

    def step(self, x, h):
        h = U.a @ (U.b @ (U.c @ h)) + V.a @ (V.b @ (V.c @ (V.d @ x)))
        return h


class Shared(Cell):
    """One unit that is spread over all."""

    sizes = {"s": 1}

    def step(self, x, h, s):
        s = 0.5 * s + W.s @ x
        h = p.h * h + s
        return h, s


FACTS = {
    # cell: diagonal, linear, successive products
    gated.cell("rnn"): (False, False, 1),
    gated.cell("rnn-relu"): (False, False, 1),
    gated.cell("lstm"): (False, False, 1),
    gated.cell("lstmp"): (False, False, 2),
    gated.cell("gru"): (False, False, 1),
    gated.cell("gru-reset-before"): (False, False, 2),
    small.LayerNormLSTM(): (False, False, 1),
    small.OneUnit(): (False, False, 1),
    Linear(): (False, True, 1),
    Extreme(): (True, False, 0),
    Squared(): (True, False, 0),
    Hyperbolic(): (True, False, 0),
    Rotated(): (False, True, 3),
    Shared(): (False, True, 0),
}


@pytest.mark.parametrize(("cell", "facts"), FACTS.items(), ids=lambda v: getattr(v, "name", ""))
def test_facts(cell, facts):
    assert (cell.diagonal, cell.linear, cell.successive_products) == facts


KEPT = {
    gated.cell("rnn"): {},
    gated.cell("rnn-relu"): {},
    gated.cell("lstm"): {"c": "f"},
    gated.cell("lstmp"): {"c": "f"},
    gated.cell("gru"): {"h": "z"},
    gated.cell("gru-reset-before"): {"h": "z"},
    small.LayerNormLSTM(): {"c": "f"},
    small.Leaky(): {"h": "0.75"},
    Tied(): {"c": "f"},
    Unnamed(): {"h": "z"},
    Shared(): {"h": "p_h", "s": "0.5"},
}


@pytest.mark.parametrize(("cell", "kept"), KEPT.items(), ids=lambda v: getattr(v, "name", ""))
def test_what_a_state_is_kept_by(cell, kept):
    assert {name: expression(node) for name, node in cell.kept.items()} == kept


def test_the_stabilised_states_are_kept_by_the_stabilised_forget_gate():
    kept = gated.cell("slstm").kept
    assert expression(kept["c"]) == expression(kept["n"]) == "f"
    assert "h" not in kept


def test_what_a_state_is_kept_by_names_the_gates_themselves():
    cell = gated.cell("lstm")
    assert cell.kept["c"] is cell.graph.equations["f"]


@pytest.mark.parametrize("cell", ["rnn", "indrnn"])
def test_what_passes_a_squashing_function_is_not_kept_by_a_factor(cell):
    # h = relu(W x + u ⊙ h₋ + b): the weight keeps h only where the sum is above 0
    assert gated.cell(cell).kept == {}


def test_parameters_of_the_lstm_stand_in_the_order_of_its_equations():
    assert shapes(gated.cell("lstm")) == {
        f"{family}.{gate}": shape
        for gate in "ifgo"
        for family, shape in {"W": ("H", "D"), "U": ("H", "H"), "b": ("H",)}.items()
    }
    assert list(shapes(gated.cell("lstm")))[:4] == ["W.i", "U.i", "b.i", "W.f"]


def test_shapes_follow_from_use():
    projected = shapes(gated.cell("lstmp"))
    assert projected["U.i"] == ("H", "P")
    assert projected["R"] == ("P", "H")
    assert shapes(gated.cell("peephole"))["p.i"] == ("H",)
    assert shapes(gated.cell("gru-d"))["W_gamma.x"] == ("D",)
    assert shapes(gated.cell("gru-d"))["W_gamma.h"] == ("H", "D")
    assert shapes(small.LayerNormLSTM())["gain.c"] == ("H",)
    assert shapes(gated.cell("rnn")) == {"W": ("H", "D"), "U": ("H", "H"), "b": ("H",)}


def test_a_size_that_nothing_fixes_is_the_hidden_size():
    class Deep(Cell):
        def step(self, x, h):
            a = tanh(W.a @ x)
            h = tanh(R @ a + U @ h)
            return h

    assert shapes(Deep())["W.a"] == ("H", "D")
    assert shapes(Deep())["R"] == ("H", "H")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("rnn", lambda D, H: H * D + H * H + H),
        ("rnn-relu", lambda D, H: H * D + H * H + H),
        ("lstm", lambda D, H: 4 * (H * D + H * H + H)),
        ("gru", lambda D, H: 3 * (H * D + H * H + H) + H),
        ("gru-reset-before", lambda D, H: 3 * (H * D + H * H + H)),
    ],
)
@pytest.mark.parametrize(("D", "H"), [(1, 1), (3, 5), (7, 50)])
def test_parameter_counts(name, count, D, H):
    assert gated.cell(name).parameter_count(D, H) == count(D, H)


def test_a_size_of_its_own_must_be_given_to_count_parameters():
    lstmp = gated.cell("lstmp")
    assert lstmp.parameter_count(3, 5, P=2) == 4 * (5 * 3 + 5 * 2 + 5) + 2 * 5
    with pytest.raises(gated.GatedError, match=r"size P is not known: give P="):
        lstmp.parameter_count(3, 5)


@pytest.mark.parametrize(
    ("cell", "gates", "states"),
    [
        (gated.cell("rnn"), (), ("h",)),
        (gated.cell("lstm"), ("i", "f", "g", "o"), ("h", "c")),
        (gated.cell("gru"), ("r", "z", "n"), ("h",)),
        (gated.cell("gru-reset-before"), ("r", "z", "n"), ("h",)),
        (gated.cell("fgr"), ("g",), ("h", "c", "i", "f", "o")),
        (gated.cell("slstm"), ("i_tilde", "f_tilde", "z", "o", "logf", "i", "f"), tuple("hcnm")),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_gates_and_states_keep_the_names_and_the_order_of_the_step(cell, gates, states):
    assert cell.gates == gates
    assert tuple(state.name for state in cell.states) == states


def test_states_know_their_size_and_their_value_before_the_first_step():
    h, seen = gated.cell("gru-d").states
    assert (h.size, h.initial, seen.size, seen.initial) == ("H", 0.0, "D", 0.0)
    assert small.OneUnit().states[1].size == 1
    assert [s.initial for s in gated.cell("slstm").states] == [0.0, 0.0, 0.0, float("-inf")]


def test_the_letters_that_stand_open():
    assert set(gated.cell("lstm").graph.letters) == {"D", "H"}
    assert set(gated.cell("lstmp").graph.letters) == {"D", "H", "P"}


def test_inputs_stand_in_the_order_of_the_steps_arguments():
    assert list(gated.cell("gru-d").graph.inputs) == ["x", "mask", "delta"]
    assert gated.cell("t-lstm").graph.input_sizes == {"x": "D", "delta": 1}


def test_operands_come_before_results():
    for cell in FACTS:
        seen = set()
        for node in cell.graph.nodes():
            assert all(arg in seen for arg in node.args)
            seen.add(node)


def test_what_waits_for_the_previous_step():
    graph = gated.cell("gru").graph
    waiting = graph.depends_on_state()
    assert graph.previous["h"] in waiting
    assert all(graph.equations[name] in waiting for name in "rznh")
    assert graph.inputs["x"] not in waiting
    from_input = [n for n in graph.nodes() if n.op == "matmul" and n.args[1].op == "input"]
    assert len(from_input) == 3
    assert not waiting & set(from_input)


def test_a_graph_can_be_a_key():
    graph = gated.cell("lstm").graph
    assert {graph: 1}[graph] == 1
