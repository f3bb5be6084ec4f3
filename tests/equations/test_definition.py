"""Where and how a cell may be defined, and what may be done with it afterwards."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import pickle
import sys
import threading

import pytest
import torch
from small_cells import Leaky, LeakyFast, Projected

import gated
from gated.cells.xlstm import SLSTM
from gated.equations import Cell, Family, U, W, b, maximum, sigmoid, tanh
from gated.errors import CellError

SOURCE = """
class Elman(Cell):
    def step(self, x, h):
        a = W @ x
        h = tanh(a + U @ h + b)
        return h
"""
SPACE = {"Cell": Cell, "W": W, "U": U, "b": b, "tanh": tanh}


def defined(source: str) -> Cell:
    space = dict(SPACE)
    exec(source, space)
    return space["Elman"]()


def test_in_code_without_source():
    assert defined(SOURCE).text() == "a = W x\nh = tanh(a + U h₋ + b)"


def test_while_a_tracer_is_active_which_stays():
    events = []

    def tracer(frame, event, arg):
        events.append(frame.f_code.co_name)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        cell = defined(SOURCE)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is tracer
    assert cell.gates == ("a",)
    assert "defined" in events


def test_a_tracer_stays_when_the_cell_is_rejected():
    def tracer(frame, event, arg):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(CellError):
            defined(SOURCE.replace("U @ h", "Q @ h"))
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is tracer


def test_within_a_function_with_names_from_around_it():
    def make(family: Family, rate: float) -> Cell:
        class Local(Cell):
            def step(self, x, h):
                h = (1 - rate) * h + rate * tanh(family @ x)
                return h

        return Local()

    assert make(Family("Q"), 0.25).text() == "h = 0.75 ⊙ h₋ + 0.25 ⊙ tanh(Q x)"


def test_with_equations_over_several_lines():
    class Long(Cell):
        def step(self, x, h):
            i = sigmoid(
                W.i @ x
                + U.i @ h
                + b.i
            )  # fmt: skip
            h = (
                i * tanh(W.h @ x)
                + (1 - i)
                * h
            )  # fmt: skip
            return h

    assert Long().text() == "i = σ(W_i x + U_i h₋ + b_i)\nh = i ⊙ tanh(W_h x) + (1 - i) ⊙ h₋"


def test_with_a_helper_method_whose_own_names_are_no_gates():
    class Helped(Cell):
        def gate(self, k, x, h):
            inner = getattr(W, k) @ x + getattr(U, k) @ h
            return sigmoid(inner)

        def step(self, x, h):
            z = self.gate("z", x, h)
            h = z * h + (1 - z) * tanh(W.n @ x)
            return h

    assert Helped().gates == ("z",)
    assert str(Helped()).startswith("z = σ(W_z x + U_z h₋)")


def test_with_several_names_in_one_assignment():
    class Pair(Cell):
        def step(self, x, h, c):
            i, f = sigmoid(W.i @ x), sigmoid(W.f @ x)
            c, h = f * c + i, tanh(U @ h + c)
            return h, c

    assert Pair().text() == ("i = σ(W_i x)\nf = σ(W_f x)\nh = tanh(U h₋ + c₋)\nc = f ⊙ c₋ + i")


def test_with_a_named_expression():
    class Walrus(Cell):
        def step(self, x, h):
            h = (z := sigmoid(W.z @ x)) * h + (1 - z)
            return h

    assert Walrus().gates == ("z",)


def test_with_states_returned_as_expressions():
    class Inline(Cell):
        def step(self, x, h, c):
            f = sigmoid(W.f @ x)
            return tanh(c + U @ h), f * c

    assert Inline().text() == "f = σ(W_f x)\nh = tanh(c₋ + U h₋)\nc = f ⊙ c₋"


def test_with_another_name_for_a_previous_state():
    class Alias(Cell):
        def step(self, x, h, m):
            m_prev = m
            m = maximum(m, W.m @ x)
            h = tanh(U @ h + m - m_prev)
            return h, m

    assert Alias().gates == ()
    assert Alias().text() == "m = max(m₋, W_m x)\nh = tanh(U h₋ + m - m₋)"


def test_with_a_comprehension():
    class Summed(Cell):
        def step(self, x, h):
            h = tanh(sum(getattr(W, k) @ x for k in "ab") + U @ h)
            return h

    assert [p.key for p in Summed().parameters] == ["W.a", "W.b", "U"]


def test_with_numbers_of_numpy():
    import numpy as np

    class Half(Cell):
        def step(self, x, h):
            h = np.float64(0.5) * h + W @ x
            return h

    assert Half().text() == "h = 0.5 ⊙ h₋ + W x"


def test_with_a_decorated_step():
    def noted(step):
        @functools.wraps(step)
        def wrapper(*args):
            return step(*args)

        return wrapper

    class Decorated(Cell):
        @noted
        def step(self, x, h):
            z = sigmoid(W @ x)
            h = z * h
            return h

    assert Decorated().gates == ("z",)


def test_in_many_threads_at_once():
    together = threading.Barrier(8, timeout=60)
    found: dict[int, list[str]] = {}

    def define(k: int) -> None:
        class Threaded(Cell):
            def step(self, x, h):
                a = tanh(getattr(W, f"a{k}") @ x)
                together.wait()  # every thread is in the midst of its own step
                h = tanh(a + getattr(U, f"h{k}") @ h)
                return h

        found[k] = [p.key for p in Threaded().parameters]

    threads = [threading.Thread(target=define, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [f"W.a{k}", f"U.h{k}"] for k in range(8)}


class TestInheritance:
    def test_a_constant(self):
        assert Leaky().text() == "h = 0.75 ⊙ h₋ + 0.25 ⊙ tanh(W x + U h₋ + b)"
        assert LeakyFast().text() == "h = 0.25 ⊙ h₋ + 0.75 ⊙ tanh(W x + U h₋ + b)"

    def test_initial_values_alone(self):
        class Warm(SLSTM):
            initial = {"m": 0.0, "n": 1.0}

        assert [s.initial for s in Warm().states] == [0.0, 0.0, 1.0, 0.0]
        assert Warm().text() == SLSTM().text()
        assert SLSTM().states[3].initial == float("-inf")

    def test_sizes_alone(self):
        class Narrower(Projected):
            sizes = {"h": "Q"}

        assert Narrower().states[0].size == "Q"
        assert {p.key: p.shape for p in Narrower().parameters}["R"] == ("Q", "H")

    def test_a_parents_step_is_used_by_super(self):
        class Damped(gated.cell("rnn").__class__):
            def step(self, x, h):
                h = 0.5 * super().step(x, h)
                return h

        assert Damped().text() == "h = 0.5 ⊙ tanh(W x + U h₋ + b)"

    def test_a_parent_may_have_no_step(self):
        class Base(Cell):
            def gate(self, k, x):
                return sigmoid(getattr(W, k) @ x)

        class Derived(Base):
            def step(self, x, h):
                z = self.gate("z", x)
                h = z * h
                return h

        assert Derived().gates == ("z",)
        with pytest.raises(CellError, match="Base has no step"):
            gated.cell(Base)


class TestName:
    @pytest.mark.parametrize(
        ("class_name", "name"),
        [
            ("LSTM", "lstm"),
            ("Elman", "elman"),
            ("LayerNormLSTM", "layer-norm-lstm"),
            ("MinGRU2", "min-gru2"),
            ("_Private", "private"),
        ],
    )
    def test_comes_from_the_class(self, class_name, name):
        space = dict(SPACE)
        exec(SOURCE.replace("Elman", class_name), space)
        assert space[class_name].name == name

    def test_is_not_inherited(self):
        class Variant(type(gated.cell("gru-reset-before"))):
            pass

        assert Variant.name == "variant"

    def test_can_be_given(self):
        class Named(type(gated.cell("rnn"))):
            name = "something-else_2"

        assert Named().graph.cell == "something-else_2"


class TestCopies:
    @pytest.mark.parametrize("cell", [gated.cell(n) for n in ("lstm", "t-lstm", "gru-d")], ids=repr)
    def test_a_cell_shares_its_graph_with_its_copies(self, cell):
        for twin in (copy.copy(cell), copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
            assert type(twin) is type(cell)
            assert twin.graph is cell.graph

    def test_a_module_that_holds_a_cell_can_be_copied_and_saved(self):
        module = torch.nn.Linear(2, 2)
        module.cell = gated.cell("lstm")
        assert copy.deepcopy(module).cell.graph is module.cell.graph
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        assert torch.load(file, weights_only=False).cell.graph is module.cell.graph

    def test_a_graph_itself_can_be_copied(self):
        graph = gated.cell("gru").graph
        for twin in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
            assert list(twin.equations) == list(graph.equations)
            assert [p.shape for p in twin.parameters] == [p.shape for p in graph.parameters]
            assert twin.updates["h"] is twin.equations["h"]

    def test_a_family_can_be_copied_and_probed(self):
        for twin in (copy.copy(b), copy.deepcopy(b), pickle.loads(pickle.dumps(b))):
            assert (twin.letter, twin.bias, twin.i.key) == ("b", True, "b.i")
        assert not hasattr(W, "_repr_html_")
        assert not hasattr(W, "__wrapped__")
        assert not hasattr(W, "__len__")
        assert inspect.unwrap(W) is W
        assert "Family" in repr(W)

    def test_a_node_is_printed_in_a_few_words(self):
        assert repr(gated.cell("lstm").graph.equations["f"]) == "<sigmoid f (H)>"
        assert repr(gated.cell("lstm")) == "<cell lstm: states h, c>"


def test_nodes_are_equal_only_to_themselves():
    graph = gated.cell("lstm").graph
    i, f = graph.equations["i"], graph.equations["f"]
    assert i == i
    assert i != f
    assert [i, f].index(f) == 1
