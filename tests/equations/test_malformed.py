"""What is malformed is rejected when the class is defined; the error names cell and line.

In each case the line at fault is marked `# here`: as the message quotes the line, the mark must
stand in it.
"""

from __future__ import annotations

import functools
import math
import re
import textwrap

import numpy as np
import pytest

from gated.equations import (
    Cell,
    Family,
    U,
    W,
    b,
    backward,
    maximum,
    mean,
    normalize,
    sigmoid,
    tanh,
)
from gated.errors import CellError


def unknown_symbol():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x + Q @ h)  # here  # noqa: F821
            return h


def used_before_it_is_assigned():
    class Bad(Cell):
        def step(self, x, h):
            h = f * h + W @ x  # here  # noqa: F821
            f = sigmoid(U @ h)  # noqa: F841
            return h


def state_never_set():
    class Bad(Cell):
        def step(self, x, h, c):
            h = tanh(W @ x + U @ h + c)
            return h, c  # here


def state_returned_in_anothers_place():
    class Bad(Cell):
        def step(self, x, h, c):
            c = tanh(W @ x + c)
            h = tanh(c + h)
            return c, h  # here


def gate_returned_for_a_state():
    class Bad(Cell):
        def step(self, x, h):
            m = tanh(W @ x + U @ h)
            return m  # here


def too_few_returned():
    class Bad(Cell):
        def step(self, x, h, c):
            c = tanh(W @ x + c)
            h = tanh(c + h)
            return h  # here


def too_many_returned():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            return h, h  # here


def nothing_returned():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)  # here


def number_returned():
    class Bad(Cell):
        def step(self, x, h):
            return 0.5  # here


def array_returned():
    class Bad(Cell):
        def step(self, x, h, c):
            c = tanh(W @ x + c)
            return np.zeros(3), c  # here


def parameter_returned():
    class Bad(Cell):
        def step(self, x, h):
            return b.h  # here


def state_set_to_an_input():
    class Bad(Cell):
        def step(self, x, h):
            h = x  # here
            return h


def state_set_to_another_state():
    class Bad(Cell):
        def step(self, x, h, c):
            c = h  # here
            h = tanh(W @ x + U @ h)
            return h, c


def state_set_to_a_parameter():
    class Bad(Cell):
        def step(self, x, h):
            h = b.h  # here
            return h


def state_set_to_a_number():
    class Bad(Cell):
        def step(self, x, h):
            h = 1.0  # here
            h = tanh(W @ x + h)
            return h


def state_of_the_wrong_size():
    class Bad(Cell):
        def step(self, x, h):
            h = x * 2  # here
            return h


def state_of_one_unit_for_many():
    class Bad(Cell):
        def step(self, x, h):
            h = mean(U @ h + W @ x)  # here
            return h


def sum_of_two_sizes():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(x + h)  # here
            return h


def matrix_used_for_two_sizes():
    class Bad(Cell):
        def step(self, x, h):
            a = W @ x
            h = tanh(a + W @ h)  # here
            return h


def product_of_the_wrong_size():
    class Bad(Cell):
        sizes = {"h": "P"}

        def step(self, x, h, c):
            a = tanh(U.a @ h)
            c = a + c
            h = tanh(U.h @ c + U.b @ (W @ x + h) + U.a @ c)  # here
            return h, c


def vector_used_as_a_matrix():
    class Bad(Cell):
        def step(self, x, h):
            a = b.a * h
            h = tanh(W @ x + b.a @ a)  # here
            return h


def matrix_used_as_a_vector():
    class Bad(Cell):
        def step(self, x, h):
            a = W @ x
            h = tanh(a + W * h)  # here
            return h


def matrices_added():
    class Bad(Cell):
        def step(self, x, h):
            a = W.a @ x + W.b @ x
            h = tanh(a + (W.a + W.b) @ x + U @ h)  # here
            return h


def matrix_on_the_right():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(h @ U + W @ x)  # here
            return h


def product_with_a_number():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(U @ h + W @ 2)  # here
            return h


def gate_assigned_twice():
    class Bad(Cell):
        def step(self, x, h):
            i = sigmoid(W.i @ x)
            i = sigmoid(U.i @ h + i)  # here
            h = i * h
            return h


def gate_assigned_in_a_loop():
    class Bad(Cell):
        def step(self, x, h):
            for k in "ab":
                i = sigmoid(getattr(W, k) @ x)  # here
            h = i * h
            return h


def state_assigned_twice():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            h = h * 2  # here
            return h


def state_put_back():
    class Bad(Cell):
        def step(self, x, h):
            last = h
            h = tanh(W @ x + U @ h)
            h = last  # here
            return h


def gate_replaced_by_a_number():
    class Bad(Cell):
        def step(self, x, h):
            i = sigmoid(W @ x)
            h = i * h
            i = 1  # here
            return h


def input_assigned():
    class Bad(Cell):
        def step(self, x, h):
            x = tanh(x)  # here
            h = tanh(W @ x + U @ h)
            return h


def state_that_never_changes():
    class Bad(Cell):
        def step(self, x, h, c):
            h = tanh(b.h)  # here
            c = c + W @ x + h
            return h, c


def gate_never_used():
    class Bad(Cell):
        def step(self, x, h):
            o = sigmoid(W.o @ x)  # here  # noqa: F841
            h = tanh(W.h @ x + U @ h)
            return h


def parameter_never_used():
    class Bad(Cell):
        def step(self, x, h):
            W.o @ x  # here
            h = tanh(W.h @ x + U @ h)
            return h


def two_names_for_one_gate():
    class Bad(Cell):
        def step(self, x, h):
            i = sigmoid(W @ x)
            j = i  # here
            h = i * h + j
            return h


def branch_on_a_state():
    class Bad(Cell):
        def step(self, x, h):
            if h:  # here
                h = tanh(W @ x)
            return h


def branch_on_equality():
    class Bad(Cell):
        def step(self, x, h):
            if h == 0:  # here
                h = tanh(W @ x)
            return h


def branch_on_comparison():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x) if h > 0 else U @ h  # here
            return h


def python_max():
    class Bad(Cell):
        def step(self, x, h):
            h = max(W @ x, h)  # here
            return h


def and_between_symbols():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W @ x and U @ h)  # here
            return h


def numpy_array():
    class Bad(Cell):
        def step(self, x, h):
            h = np.ones(3) * h + W @ x  # here
            return h


def numpy_function():
    class Bad(Cell):
        def step(self, x, h):
            h = np.tanh(W @ x + h)  # here
            return h


def math_function():
    class Bad(Cell):
        def step(self, x, h):
            h = math.tanh(W @ x)  # here
            return h


def string():
    class Bad(Cell):
        def step(self, x, h):
            h = h + "1"  # here
            return h


def boolean():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + True * h  # here
            return h


def not_a_number():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + float("nan") * h  # here
            return h


def numbers_alone():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + sigmoid(0.5) * h  # here
            return h


def norm_of_a_number():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + normalize(2) * h  # here
            return h


def power():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + h**2  # here
            return h


def index():
    class Bad(Cell):
        def step(self, x, h):
            h = W @ x + h[0]  # here
            return h


def error_of_another_kind():
    class Bad(Cell):
        def step(self, x, h):
            a = {}["nothing"]  # here
            h = tanh(W @ x + U @ h + a)
            return h


def gate_in_greek_letters():
    class Bad(Cell):
        def step(self, x, h):
            γ = sigmoid(W @ x)  # here
            h = γ * h
            return h


def gate_that_starts_with_an_underscore():
    class Bad(Cell):
        def step(self, x, h):
            _i = sigmoid(W @ x)  # here
            h = _i * h
            return h


def state_in_greek_letters():
    class Bad(Cell):
        def step(self, x, η):  # here
            η = tanh(W @ x + η)
            return η


def input_in_greek_letters():
    class Bad(Cell):
        inputs = {"ξ": "D"}

        def step(self, ξ, h):  # here
            h = tanh(W @ ξ + h)
            return h


def subscript_in_greek_letters():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W.γ @ x + h)  # here
            return h


def subscript_that_starts_with_an_underscore():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W._i @ x + h)  # here
            return h


def subscript_with_code_in_it():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(getattr(W, '";#include <x>') @ x + h)  # here
            return h


def subscript_that_the_family_keeps_for_itself():
    class Bad(Cell):
        def step(self, x, h):
            h = tanh(W.letter @ x + h)  # here
            return h


def two_families_of_one_letter():
    class Bad(Cell):
        def step(self, x, h):
            other = Family("W")
            h = tanh(W.i @ x + other.i @ h)  # here
            return h


def input_that_step_does_not_take():
    class Bad(Cell):
        inputs = {"x": "D", "mask": "D"}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def no_state():
    class Bad(Cell):
        def step(self, x):  # here
            return tanh(W @ x)


def state_before_an_input():
    class Bad(Cell):
        def step(self, h, x):  # here
            h = tanh(W @ x + U @ h)
            return h


def size_of_what_is_no_state():
    class Bad(Cell):
        sizes = {"c": "P"}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def initial_value_of_what_is_no_state():
    class Bad(Cell):
        initial = {"m": 1.0}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def initial_value_that_is_no_number():
    class Bad(Cell):
        initial = {"h": "1"}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def initial_value_nan():
    class Bad(Cell):
        initial = {"h": float("nan")}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def size_zero():
    class Bad(Cell):
        inputs = {"x": 0}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def size_that_is_a_fraction():
    class Bad(Cell):
        sizes = {"h": 1.5}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def size_with_code_in_it():
    class Bad(Cell):
        inputs = {"x": "D; system()"}

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def inputs_that_are_a_list():
    class Bad(Cell):
        inputs = ["x"]

        def step(self, x, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def default_value():
    class Bad(Cell):
        def step(self, x, h=0):  # here
            h = tanh(W @ x + U @ h)
            return h


def keyword_only_state():
    class Bad(Cell):
        def step(self, x, *, h):  # here
            h = tanh(W @ x + U @ h)
            return h


def states_as_a_rest():
    class Bad(Cell):
        def step(self, x, *states):  # here
            h = tanh(W @ x)
            return h


def static_step():
    class Bad(Cell):
        @staticmethod
        def step(x, h):
            h = tanh(W @ x + U @ h)
            return h


def step_that_is_no_function():
    class Bad(Cell):
        step = functools.partial(lambda self, x, h: h)


def own_constructor():
    class Bad(Cell):
        def __init__(self, rate):
            self.rate = rate

        def step(self, x, h):  # here
            h = self.rate * tanh(W @ x + U @ h)
            return h


def equation_of_another_cell():
    class Other(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            return h

    class Bad(Cell):
        def step(self, x, h):  # here
            h = tanh(W @ x + Other.graph.equations["h"])
            return h


CASES = {
    equation_of_another_cell: "an equation holds",
    unknown_symbol: "unknown symbol 'Q'",
    used_before_it_is_assigned: "unknown symbol 'f'",
    state_never_set: "state c is never set",
    state_returned_in_anothers_place: "returns c in the place of state h: return h, c",
    gate_returned_for_a_state: "returns m in the place of state h",
    too_few_returned: "returns 1 values, expected the 2 states h, c",
    too_many_returned: "returns 2 values, expected the 1 states h",
    nothing_returned: "returns None, expected the 1 states h",
    number_returned: "state h is returned as 0.5",
    array_returned: "state h is returned as array",
    parameter_returned: "state h is returned as b.h",
    state_set_to_an_input: "state h is set to x as it is",
    state_set_to_another_state: "state c is set to h as it is",
    state_set_to_a_parameter: "state h is set to b.h as it is",
    state_set_to_a_number: "h is set to 1.0",
    state_of_the_wrong_size: "state h has H units, its equation has D",
    state_of_one_unit_for_many: "state h has H units, its equation has 1",
    sum_of_two_sizes: "x has D units, h has H",
    matrix_used_for_two_sizes: "W has shape (?, D), it multiplies h of H units",
    product_of_the_wrong_size: "U.a has shape (H, P), it multiplies c of H units",
    vector_used_as_a_matrix: "b.a is a vector, left of @ must stand a matrix",
    matrix_used_as_a_vector: "W is a matrix, it stands where vectors do",
    matrices_added: "W.a is a matrix, it stands where vectors do",
    matrix_on_the_right: "h is a vector, left of @ must stand a matrix",
    product_with_a_number: "right of @ must stand a vector, 2 is a number",
    gate_assigned_twice: "i is assigned twice",
    gate_assigned_in_a_loop: "i is assigned twice",
    state_assigned_twice: "h is assigned twice",
    state_put_back: "h is assigned twice",
    gate_replaced_by_a_number: "i is assigned twice",
    input_assigned: "x is an input and cannot be assigned",
    state_that_never_changes: "state h depends on no input and no state",
    gate_never_used: "o is computed and never used",
    parameter_never_used: "W.o is a parameter of no equation",
    two_names_for_one_gate: "j is only another name for i",
    branch_on_a_state: "equations have no branches",
    branch_on_equality: "equations have no branches",
    branch_on_comparison: "equations have no branches",
    python_max: "equations have no branches: a comparison cannot ask a symbol's value; use select",
    and_between_symbols: "equations have no branches",
    numpy_array: "symbols and numbers, got array",
    numpy_function: "does not support ufuncs",
    math_function: "must be real number",
    string: "symbols and numbers, got '1' (str)",
    boolean: "symbols and numbers, got True (bool)",
    not_a_number: "symbols and numbers, got NaN",
    numbers_alone: "sigmoid(0.5) holds no symbol",
    norm_of_a_number: "normalize(2) holds no symbol",
    power: "unsupported operand",
    index: "not subscriptable",
    error_of_another_kind: "KeyError: 'nothing'",
    gate_in_greek_letters: "name 'γ' is not a name: use a letter, then letters, digits",
    gate_that_starts_with_an_underscore: "name '_i' is not a name",
    state_in_greek_letters: "symbol 'η' is not a name",
    input_in_greek_letters: "symbol 'ξ' is not a name",
    subscript_in_greek_letters: "subscript 'γ' is not a name",
    subscript_that_starts_with_an_underscore: "subscript '_i' is not a name",
    subscript_with_code_in_it: "is not a name: use a letter",
    subscript_that_the_family_keeps_for_itself: "TypeError: unsupported operand",
    two_families_of_one_letter: "two parameter families share the letter W",
    input_that_step_does_not_take: "input mask is not an argument of step(x, h)",
    no_state: "step(x) has no state",
    state_before_an_input: "step(h, x) names a state before an input",
    size_of_what_is_no_state: "sizes names c, the states are h",
    initial_value_of_what_is_no_state: "initial names m, the states are h",
    initial_value_that_is_no_number: "initial value of h is '1'",
    initial_value_nan: "initial value of h is nan",
    size_zero: "size of x is 0",
    size_that_is_a_fraction: "size of h is 1.5",
    size_with_code_in_it: "size of x 'D; system()' is not a name",
    inputs_that_are_a_list: "inputs is ['x'], expected a dictionary",
    default_value: "step takes `h=0`: name each input and state plainly",
    keyword_only_state: "step takes `h`: name each input and state plainly",
    states_as_a_rest: "step takes `*states`",
    static_step: "step is a static or class method",
    step_that_is_no_function: "step is no method",
    own_constructor: "a cell has no __init__",
}


@pytest.mark.parametrize(
    ("define", "complaint"), CASES.items(), ids=[define.__name__ for define in CASES]
)
def test_is_rejected_with_cell_and_line(define, complaint):
    with pytest.raises(CellError) as raised:
        define()
    message = str(raised.value)
    assert complaint in message
    assert message.startswith("cell bad")
    if define not in (static_step, step_that_is_no_function):
        assert re.match(r"cell bad \(test_malformed\.py, line \d+: .*# here", message), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ['";#include <x>', "../up", "a'b", 'a"b', "a b", "_a", "", "é", "a\n", 7, None]
)
def test_a_cells_name_is_checked(name):
    with pytest.raises(CellError, match="is no cell's name"):
        type("Bad", (Cell,), {"name": name, "step": lambda self, x, h: tanh(W @ x + U @ h)})


@pytest.mark.parametrize("letter", ['";#include <x>', "../up", "a'b", "_a", "", "é", "a\n", 7])
def test_a_familys_letter_is_checked(letter):
    with pytest.raises(CellError, match=r"parameter family .* is not a name"):
        Family(letter)


@pytest.mark.parametrize("subscript", ['";#include <x>', "../up", "a'b", "_a", "", "é", "a\n"])
def test_a_familys_subscript_is_checked(subscript):
    with pytest.raises(AttributeError, match="is not a name"):
        getattr(W, subscript)


def test_the_class_is_not_defined():
    with pytest.raises(CellError):
        exec("class Bad(Cell):\n    def step(self, x, h): return h", space := {"Cell": Cell})
    assert "Bad" not in space


def test_a_parameter_means_nothing_outside_a_step():
    with pytest.raises(CellError, match="only inside a cell's step"):
        W.i + 1
    with pytest.raises(CellError, match="only inside a cell's step"):
        tanh(b)


def test_after_a_malformed_cell_the_next_one_is_traced_afresh():
    with pytest.raises(CellError):
        matrix_used_for_two_sizes()

    class Good(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            return h

    assert [p.key for p in Good().parameters] == ["W", "U"]
    assert set(backward(Good().graph).parameters) == {"W", "U"}


def test_the_line_is_named_without_its_source_too():
    source = textwrap.dedent("""
        class Bad(Cell):
            def step(self, x, h):
                a = tanh(W @ x)
                h = a + Q @ h
                return h
    """)
    with pytest.raises(CellError) as raised:
        exec(compile(source, "<somewhere>", "exec"), {"Cell": Cell, "W": W, "tanh": tanh})
    assert str(raised.value).startswith("cell bad (<somewhere>, line 5): unknown symbol 'Q'")


def test_the_line_within_an_equation_of_several_lines_is_named():
    with pytest.raises(CellError, match=r"line .*: [+] U @ x[)]"):

        class Bad(Cell):
            def step(self, x, h):
                h = maximum(
                    W @ x,
                    U @ h
                    + U @ x
                )  # fmt: skip
                return h


@pytest.mark.parametrize("name", ["linear", "kept", "states", "maps", "noise", "graph", "latex"])
def test_a_class_does_not_set_what_is_derived(name):
    def step(self, x, h):
        h = tanh(W @ x + U @ h)
        return h

    with pytest.raises(CellError, match=f"cell bad: {name} is not for a class to set"):
        type("Bad", (Cell,), {"step": step, name: 0.5})
