"""What is malformed in a `where` is refused when the class is defined, with the place."""

from __future__ import annotations

import functools
import math
import re
import textwrap

import pytest
from small_cells import Leaky

import gated
from gated.cells.peephole import Peephole
from gated.equations import Cell, Family, U, W, b, mean, p, sigmoid, tanh
from gated.errors import CellError

LSTM = type(gated.cell("lstm"))


def define(where: object, base: type[Cell] = Peephole) -> str:
    """The message that a variant's definition gives."""
    with pytest.raises(CellError) as error:
        type("Bad", (base,), {"where": where})
    message = str(error.value)
    assert message.startswith("cell bad (test_variant_malformed.py, line ")
    return message


def foreign(x):
    return sigmoid(LSTM.graph.equations["i"] + W.f @ x)


class TestRefused:
    @pytest.mark.parametrize(
        ("where", "complaint"),
        [
            (
                {"F": 1},
                "where names 'F', which the base has not: did you mean 'f'? its symbols are",
            ),
            ({"p.x": 1}, "where names 'p.x', which the base has not"),
            ({"W.ff": 0}, "where names 'W.ff', which the base has not"),
            ({1: 0}, "where names 1, which the base has not"),
            ({"x": 0}, "where names x, an input: only equations and parameters can be changed"),
            ({"f": None}, "f = None: expected a number or a function of the cell's symbols"),
            ({"f": True}, "f = True: expected a number or a function of the cell's symbols"),
            ({"f": "1 - i"}, "f = '1 - i': expected a number or a function"),
            ({"f": math.nan}, "f = nan: expected a number"),
            ({"f": lambda: math.nan}, "f = nan: expected a number"),
            ({"f": lambda i: (i,)}, "f = (<sigmoid i (H)>,): expected a number or a function"),
            ({"f": lambda i: None}, "f = None: expected a number or a function"),
            ({"p": None}, "p = None: expected a number"),
            ({"p": lambda c: c}, "expected a number"),
            (
                {"f": lambda q: 1 - q},
                "f = ... uses q, which is not known at that line: known are x",
            ),
            ({"f": lambda o: 1 - o}, "it comes after f, known are x, h, c, i"),
            ({"f": lambda *i: 1 - i[0]}, "f = ... takes `*i`: name each symbol plainly"),
            ({"f": lambda **i: 1}, "f = ... takes `**i`: name each symbol plainly"),
            ({"f": lambda *, i: 1 - i}, "f = ... takes `i`: name each symbol plainly"),
            ({"f": lambda i, c=2: c - i}, "f = ... takes `c=2`: name each symbol plainly"),
            ({"f": min}, "f = <built-in function min>: expected a number or a function"),
            ({"f": lambda i: 1 - Q}, "f = ...: unknown symbol 'Q'"),  # noqa: F821
            ({"f": lambda i: i.shape[7]}, "f = ...: IndexError: tuple index out of range"),
            ({"f": lambda i: i if i > 0 else 1}, "f = ...: equations have no branches"),
            ({"f": lambda i: 1 - "i"}, "f = ...: an equation holds symbols and numbers, got 'i'"),
            ({"f": lambda x: sigmoid(x)}, "f = ... has D units, in the base f has H units"),
            ({"f": lambda x: x}, "f = ... has D units, in the base f has H units"),
            ({"f": lambda: W.f}, "f = ... is a matrix, in the base f has H units"),
            ({"f": lambda c: W.f @ c}, "shape mismatch: W.f has shape (H, D), it multiplies c"),
            ({"f": lambda x: Family("W").f @ x}, "two parameter families share the letter W"),
            ({"f": foreign}, "f = ... holds W.i of another cell"),
            ({"c": 0}, "leaves state c equal to 0: write an equation for it"),
            ({"c": lambda c: c}, "leaves state c equal to its old value"),
            ({"c": lambda h: h}, "leaves state c equal to h"),
            ({"h": lambda c: c}, "leaves state h equal to c"),
            ({"i": 0, "f": 1}, "leaves state c equal to its old value"),
            ({"i": 0, "f": 0}, "leaves state c equal to 0"),
            ({"h": lambda: sigmoid(b.h)}, "state h depends on no input and no state"),
            ({"W": 1}, "leaves 1 in the place of W.i in a matrix product: only 0"),
            ({"i": 0, "g": lambda x: W.g @ x}, "g = ... changes nothing: no state depends on g"),
            ({"f", "i"}, "expected a dictionary"),
            ([("f", 1)], "expected a dictionary"),
        ],
    )
    def test_what_is_malformed_names_cell_place_and_reason(self, where, complaint):
        assert complaint in define(where)

    @pytest.mark.parametrize(
        ("where", "complaint"),
        [
            ({"rate": 1}, "where names 'rate', which the base has not"),
            ({"h": lambda x, h: h}, "leaves state h equal to its old value"),
        ],
    )
    def test_on_another_base(self, where, complaint):
        assert complaint in define(where, Leaky)

    def test_what_has_no_value_is_no_number(self):
        class Divided(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                h = z / (1 - z) * h + tanh(W.h @ x)
                return h

        assert "where leaves div(1, 0), which has no value" in define({"z": 1}, Divided)

    def test_a_number_before_a_matrix_has_no_meaning(self):
        class Before(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                h = tanh(U.h @ z + h)
                return h

        assert "where leaves 0.5 in the place of z in a matrix product" in define(
            {"z": 0.5}, Before
        )

    def test_one_unit_cannot_take_the_place_of_many(self):
        class Spread(Cell):
            sizes = {"s": 1}

            def step(self, x, h, s):
                a = p.a * s
                h = tanh(W @ x + U @ a + h)
                s = 0.5 * s + 0.5 * mean(h)
                return h, s

        assert "where leaves one unit in the place of the H of a" in define({"p": 1}, Spread)

    def test_two_names_cannot_be_swapped(self):
        message = define({"i": lambda f: f, "f": lambda i: i})
        assert "i = ... uses f, which is not known at that line: it comes after i" in message

    def test_a_class_that_writes_its_own_step_has_nothing_to_change(self):
        with pytest.raises(CellError, match=r"cell both .*writes its own step: write them there"):

            class Both(Cell):
                where = {"h": 0}

                def step(self, x, h):
                    h = tanh(W @ x + U @ h)
                    return h

    def test_a_class_without_equations_has_nothing_to_change(self):
        with pytest.raises(
            CellError, match=r"cell none: where changes .* there are none: subclass"
        ):

            class none(Cell):
                where = {"f": 1}

    def test_a_derived_cell_is_no_base(self):
        with pytest.raises(CellError, match="there are none: subclass"):
            type("Sub", (type(gated.zoneout("lstm", 0.1)),), {"where": {"f": 1}})

    def test_the_message_quotes_the_line_at_fault(self):
        message = define({
            "i": lambda x: sigmoid(W.i @ x),
            "f": lambda i: 1 - Quoted,  # noqa: F821
        })  # fmt: skip
        assert "): where f = ..." in message
        assert '"f": lambda i: 1 - Quoted,' in message

    def test_a_line_inside_a_function_is_found(self):
        def several(i):
            k = 1 - i
            return k - Quoted  # noqa: F821

        assert "return k - Quoted" in define({"f": several})

    def test_the_class_statement_is_quoted_where_no_function_is_at_fault(self):
        with pytest.raises(CellError) as error:

            class Odd(Peephole):
                where = {"q": 1}

        assert re.match(
            r"cell odd \(test_variant_malformed.py, line \d+: class Odd\(", str(error.value)
        )

    def test_a_function_without_a_place_is_told_by_the_statement(self):
        assert "f = ...: " in define({"f": functools.partial(lambda k, i: k - Q, 1)})  # noqa: F821


def test_a_place_is_that_of_the_equation_at_fault():
    message = define({"f": lambda i: 1 - i, "h": 0})
    assert "lambda" not in message.partition(": where")[0]


def test_a_console_without_files_can_define_one():
    source = """
    class Console(Peephole):
        where = {"f": lambda i: 1 - nothing}
    """
    with pytest.raises(CellError, match=r"cell console \(<string>, line 3\): where f = "):
        exec(textwrap.dedent(source), {"Peephole": Peephole, "__name__": "console"})
