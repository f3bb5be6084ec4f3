"""`where`: a variant is written as its difference from its base, and printed in full."""

from __future__ import annotations

import pickle
import re
import threading

import latex2mathml.converter
import numpy as np
import pytest
import torch
from equation_numerics import evaluate, parameters, random_leaves, run
from small_cells import Leaky

import gated
from gated.cells.minimal import MinGRU
from gated.cells.mut import MUT1
from gated.cells.peephole import Peephole
from gated.cells.xlstm import SLSTM
from gated.equations import Cell, R, U, V, W, b, backward, exp, p, select, sigmoid, tanh
from gated.errors import CellError

LSTM = type(gated.cell("lstm"))
RATE = 0.5


class CIFG(Peephole):
    where = {"f": lambda i: 1 - i}


class Plain(Peephole):
    where = {"p": 0}


def printed(cell: Cell | type[Cell]) -> list[str]:
    return str(cell() if isinstance(cell, type) else cell).splitlines()


def changed(cell: type[Cell], base: type[Cell]) -> dict[str, str]:
    """The printed equations of a variant that are not its base's."""
    lines = [dict(re.split(" += ", line, maxsplit=1) for line in printed(c)) for c in (cell, base)]
    return {name: text for name, text in lines[0].items() if lines[1].get(name) != text}


def gone(cell: type[Cell], base: type[Cell]) -> set[str]:
    return {*base().graph.equations} - {*cell().graph.equations}


def keys(cell: type[Cell]) -> list[str]:
    return [parameter.key for parameter in cell().parameters]


class TestNumbers:
    def test_a_number_stands_in_the_place_of_a_gate(self):
        class NFG(Peephole):
            where = {"f": 1}

        assert changed(NFG, Peephole) == {"c": "c₋ + i ⊙ g"}
        assert gone(NFG, Peephole) == {"f"}
        assert [key for key in keys(Peephole) if key not in keys(NFG)] == [
            "W.f",
            "U.f",
            "p.f",
            "b.f",
        ]

    def test_a_family_that_is_zero_leaves_the_equations(self):
        class NP(Peephole):
            where = {"p": 0}

        lstm = dict(line.split(" = ") for line in printed(LSTM))
        assert dict(line.split(" = ") for line in printed(NP)) == lstm

    def test_one_parameter_of_a_family_can_be_set(self):
        class InputOnly(Peephole):
            where = {"p.f": 0, "p.o": 0}

        assert [key for key in keys(InputOnly) if key.startswith("p")] == ["p.i"]

    @pytest.mark.parametrize("where", [{"p": 0, "p.i": 2}, {"p.i": 2, "p": 0}])
    def test_one_parameter_goes_before_its_family(self, where):
        cls = type("Some", (Peephole,), {"where": where})
        assert changed(cls, Peephole)["i"] == "σ(W_i x + U_i h₋ + 2 ⊙ c₋ + b_i)"
        assert "p" not in changed(cls, Peephole)["f"]

    def test_another_number_scales(self):
        class Half(Peephole):
            where = {"f": 0.5}

        assert changed(Half, Peephole) == {"c": "0.5 ⊙ c₋ + i ⊙ g"}

    def test_what_no_state_needs_then_is_left_out(self):
        class Closed(Peephole):
            where = {"i": 0}

        assert changed(Closed, Peephole) == {"c": "f ⊙ c₋"}
        assert gone(Closed, Peephole) == {"i", "g"}
        assert not {"W.g", "U.g", "b.g", "W.i"} & {*keys(Closed)}

    def test_a_recurrence_can_be_cut(self):
        class Feed(LSTM):
            where = {"U": 0}

        assert printed(Feed)[0] == "i = σ(W_i x + b_i)"
        assert Feed().diagonal

    def test_numbers_are_computed_through_the_functions(self):
        class Constant(MinGRU):
            where = {"W.z": 0, "b.z": 0}

        assert printed(Constant) == ["g = W_g x + b_g", "h = 0.5 ⊙ h₋ + 0.5 ⊙ g"]

    @pytest.mark.parametrize(("number", "expected"), [(2, "tanh(W_a x)"), (0, "tanh(W_b x)")])
    def test_a_number_decides_what_is_selected(self, number, expected):
        class Switched(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                n = select(z, tanh(W.a @ x), tanh(W.b @ x))
                h = 0.5 * h + n
                return h

        cls = type("Fixed", (Switched,), {"where": {"z": number}})
        assert changed(cls, Switched) == {"n": expected}

    @pytest.mark.parametrize(
        ("line", "number", "left"),
        [
            (lambda z, h: h + z, 0, "h₋"),
            (lambda z, h: z + h, 0, "h₋"),
            (lambda z, h: h - z, 0, "h₋"),
            (lambda z, h: z - h, 0, "(-h₋)"),
            (lambda z, h: h * z, 1, "h₋"),
            (lambda z, h: z * h, 1, "h₋"),
            (lambda z, h: h / z, 1, "h₋"),
            (lambda z, h: z / h, 1, "1 / h₋"),
            (lambda z, h: h + z, 1, "(h₋ + 1)"),
            (lambda z, h: z - h, 1, "(1 - h₋)"),
            (lambda z, h: h * z, 2, "h₋ ⊙ 2"),
            (lambda z, h: h / z, 2, "h₋ / 2"),
        ],
    )
    def test_a_number_that_changes_nothing_is_not_written(self, line, number, left):
        class Base(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                h = tanh(W.h @ x) * line(z, h)
                return h

        cls = type("Fixed", (Base,), {"where": {"z": number}})
        assert printed(cls) == [f"h = tanh(W_h x) ⊙ {left}"]

    def test_a_selected_number_is_a_number(self):
        class Switched(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                n = select(z, 2, tanh(W.n @ x))
                h = n * h + W.h @ x
                return h

        class On(Switched):
            where = {"z": 1}

        assert printed(On) == ["h = 2 ⊙ h₋ + W_h x"]

    def test_less_than_nothing_is_negative(self):
        class Difference(Cell):
            def step(self, x, h):
                i = sigmoid(W.i @ x)
                h = i - 0.5 * h
                return h

        class Zero(Difference):
            where = {"i": 0}

        assert printed(Zero) == ["h = -0.5 ⊙ h₋"]

    def test_a_gate_of_zero_before_a_matrix_ends_its_product(self):
        class NoReset(MUT1):
            where = {"r": 0}

        assert changed(NoReset, MUT1) == {"n": "tanh(tanh(W_n x) + b_n)"}

    @pytest.mark.parametrize("number", [0, 1, 0.25, np.float64(2.0), -1])
    def test_it_means_what_the_base_means_with_that_value(self, number):
        cls = type("Fixed", (LSTM,), {"where": {"f": number}})
        records, weights = run(cls(), steps=3)
        c = np.zeros(4)
        for record in records:
            c = number * c + record["i"] * record["g"]
            np.testing.assert_allclose(record["c"], c, rtol=1e-14, atol=1e-15)
        assert "W.f" not in weights


class TestFunctions:
    def test_names_are_the_cells_symbols(self):
        assert changed(CIFG, Peephole) == {"f": "1 - i"}

    def test_they_are_written_in_the_language_of_steps(self):
        class NIAF(Peephole):
            where = {"g": lambda x, h: W.g @ x + U.g @ h + b.g}

        assert changed(NIAF, Peephole) == {"g": "W_g x + U_g h₋ + b_g"}
        assert keys(NIAF) == keys(Peephole)

    def test_a_state_is_the_old_one_before_its_line_and_the_new_one_after(self):
        class Both(Peephole):
            where = {
                "f": lambda c: sigmoid(c + b.f),
                "o": lambda c: sigmoid(c + b.o),
            }

        assert changed(Both, Peephole) == {"f": "σ(c₋ + b_f)", "o": "σ(c + b_o)"}

    def test_after_its_line_the_old_value_goes_by_last(self):
        class Last(Peephole):
            where = {"o": lambda c, last_c: sigmoid(c - last_c)}

        assert changed(Last, Peephole) == {"o": "σ(c - c₋)"}

    def test_a_line_sees_what_was_changed_above_it(self):
        class Chain(LSTM):
            where = {"i": lambda x: sigmoid(W.i @ x), "f": lambda i: 1 - i}

        records, weights = run(Chain(), steps=2)
        for record in records:
            i = 1 / (1 + np.exp(-weights["W.i"] @ record["x"]))
            np.testing.assert_allclose(record["f"], 1 - i, rtol=1e-13)

    def test_the_new_value_of_a_state_can_use_its_old_one(self):
        class Doubled(LSTM):
            where = {"c": lambda c, f, i, g: 2 * f * c + i * g}

        assert changed(Doubled, LSTM) == {"c": "2 ⊙ f ⊙ c₋ + i ⊙ g"}

    def test_they_may_bring_parameters_which_stand_behind_the_bases(self):
        class More(LSTM):
            where = {"o": lambda x, h, c: sigmoid(W.o @ x + U.o @ h + V.o @ c + p.o + b.o)}

        assert keys(More) == [*keys(LSTM), "V.o", "p.o"]
        shapes = {q.key: q.shape for q in More().parameters}
        assert shapes["V.o"] == ("H", "H")
        assert shapes["p.o"] == ("H",)

    def test_a_parameter_that_two_of_them_bring_is_one(self):
        class Shared(LSTM):
            where = {
                "i": lambda x: sigmoid(V.s @ x),
                "o": lambda x, h: sigmoid(V.s @ x + U.o @ h),
            }

        leaves = {n for n in Shared().graph.nodes() if n.label == "V.s"}
        assert len(leaves) == 1
        assert keys(Shared).count("V.s") == 1

    def test_they_may_return_a_parameter_or_a_number(self):
        class Learned(LSTM):
            where = {"f": lambda: p.f, "o": lambda: 0.5}

        assert changed(Learned, LSTM) == {"c": "p_f ⊙ c₋ + i ⊙ g", "h": "0.5 ⊙ tanh(c)"}
        assert {q.key: q.shape for q in Learned().parameters}["p.f"] == ("H",)

    def test_a_function_that_returns_another_name_ties_the_two(self):
        class Tied(LSTM):
            where = {"f": lambda i: i}

        assert gone(Tied, LSTM) == {"f"}
        assert changed(Tied, LSTM) == {"c": "i ⊙ c₋ + i ⊙ g"}

    def test_parameters_that_are_numbers_are_so_in_functions_too(self):
        class Both(Peephole):
            where = {"p": 0, "o": lambda x, c: sigmoid(W.o @ x + p.o * c)}

        assert changed(Both, Peephole)["o"] == "σ(W_o x)"
        assert not [key for key in keys(Both) if key.startswith("p")]

    def test_a_def_does_as_well_as_a_lambda(self):
        def coupled(i):
            k = 1 - i
            return k

        assert printed(type("Coupled", (Peephole,), {"where": {"f": coupled}})) == printed(CIFG)

    def test_extra_inputs_are_known(self):
        class Gapped(Cell):
            inputs = {"x": "D", "delta": 1}

            def step(self, x, delta, h):
                decay = exp(-delta)
                h = decay * h + tanh(W @ x)
                return h

        class Inverse(Gapped):
            where = {"decay": lambda delta: 1 / delta}

        assert printed(Inverse)[0] == "decay = 1 / delta"


class TestInheritance:
    def test_a_variant_of_a_variant_has_both_differences(self):
        class NoPeepholeCIFG(CIFG):
            where = {"p": 0}

        assert changed(NoPeepholeCIFG, Plain) == {"f": "1 - i"}

    def test_a_later_difference_is_written_on_what_the_earlier_left(self):
        class Twice(CIFG):
            where = {"f": lambda i: 1 - i * i}

        assert changed(Twice, Peephole) == {"f": "1 - i ⊙ i"}

    def test_what_an_earlier_difference_removed_is_unknown(self):
        with pytest.raises(CellError, match=r"where names 'p', which the base has not"):

            class Again(Plain):
                where = {"p": 0}

    def test_a_subclass_without_its_own_inherits_it(self):
        class Renamed(CIFG):
            pass

        assert printed(Renamed) == printed(CIFG)
        assert Renamed.name == "renamed"

    def test_a_subclass_may_change_a_constant_of_a_variant(self):
        class Damped(Leaky):
            where = {"h": lambda x, h: 0.5 * h + tanh(W @ x)}

        class SlowStep(Leaky):
            where = {"U": 0}

        class Slow(SlowStep):
            rate = 0.125

        assert printed(Slow) == ["h = 0.875 ⊙ h₋ + 0.125 ⊙ tanh(W x + b)"]
        assert printed(Damped) == ["h = 0.5 ⊙ h₋ + tanh(W x)"]

    def test_two_bases_both_count(self):
        class NoForget(Peephole):
            where = {"f": 1}

        class NoOutput(Peephole):
            where = {"o": 1}

        class Neither(NoForget, NoOutput):
            pass

        assert gone(Neither, Peephole) == {"f", "o"}

    @pytest.mark.parametrize("first", [True, False])
    def test_a_mixin_counts_on_either_side(self, first):
        class NoForget:
            where = {"f": 1}

        bases = (NoForget, Peephole) if first else (Peephole, NoForget)
        assert gone(type("Mixed", bases, {}), Peephole) == {"f"}

    def test_a_step_of_its_own_ends_what_the_bases_changed(self):
        class Own(CIFG):
            def step(self, x, h, c):
                f = sigmoid(W.f @ x + U.f @ h)
                c = f * c + (1 - f) * tanh(W.g @ x)
                h = tanh(c)
                return h, c

        assert printed(Own)[0] == "f = σ(W_f x + U_f h₋)"

    def test_states_with_other_sizes_and_starts_keep_them(self):
        class NoGate(SLSTM):
            where = {"o": 1}

        assert NoGate().states == SLSTM().states


class TestBase:
    def test_it_is_untouched(self):
        before = printed(Peephole), keys(Peephole), [*Peephole.graph.nodes()]
        names = [node.name for node in Peephole.graph.nodes()]

        class Changed(Peephole):
            where = {"f": lambda i: 1 - i, "p.o": 0, "g": lambda x, c: tanh(R.g @ x + c)}

        assert (printed(Peephole), keys(Peephole), [*Peephole.graph.nodes()]) == before
        assert [node.name for node in Peephole.graph.nodes()] == names

    def test_what_is_not_changed_computes_the_same(self):
        class Same(Peephole):
            where = {"o": lambda x, h, c: sigmoid(b.o + W.o @ x + U.o @ h + p.o * c)}

        ours, theirs = run(Same(), steps=4)[0], run(Peephole(), steps=4)[0]
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine["h"], its["h"], rtol=1e-14)

    def test_parameters_keep_their_order(self):
        assert keys(CIFG) == [key for key in keys(Peephole) if not key.endswith(".f")]


class TestWhatIsDerived:
    def test_the_full_set_is_printed(self):
        assert [line.split()[0] for line in printed(CIFG)] == ["i", "f", "g", "c", "o", "h"]

    def test_the_gates_are_those_that_remain(self):
        class NIG(Peephole):
            where = {"i": 1}

        assert CIFG().gates == ("i", "f", "g", "o")
        assert NIG().gates == ("f", "g", "o")

    def test_the_latex_shows_the_difference_and_is_drawn(self):
        assert "f_{t} &= 1 - i_{t}" in CIFG().latex()
        drawn = latex2mathml.converter.convert(CIFG().latex().replace("{aligned}", "{split}"))
        assert drawn.count("<mtr>") == 6

    def test_facts_follow(self):
        class Cut(Peephole):
            where = {"U": 0}

        assert not CIFG().diagonal
        assert Cut().diagonal
        assert str(CIFG().kept["c"].name) == "f"

    def test_the_backward_equations_are_those_of_the_new_graph(self):
        graph = CIFG().graph
        leaves, derived = random_leaves(graph), backward(graph)
        values = evaluate(graph.updates.values(), leaves)
        states = [values[node] for node in graph.updates.values()]
        arriving = [torch.linspace(-1, 2, s.numel(), dtype=s.dtype) for s in states]
        weight = parameters(graph)["U.i"]
        (expected,) = torch.autograd.grad(states, [leaves[weight]], arriving)
        node = derived.parameters["U.i"]
        assert node is not None
        known = leaves | dict(zip(derived.seeds.values(), arriving, strict=True))
        torch.testing.assert_close(evaluate([node], known)[node], expected)

    def test_it_is_the_cell_written_out(self):
        class Written(Cell):
            name = "cifg"

            def step(self, x, h, c):
                i = sigmoid(W.i @ x + U.i @ h + p.i * c + b.i)
                f = 1 - i
                g = tanh(W.g @ x + U.g @ h + b.g)
                c = f * c + i * g
                o = sigmoid(W.o @ x + U.o @ h + p.o * c + b.o)
                h = o * tanh(c)
                return h, c

        assert printed(Written) == printed(CIFG)
        assert keys(Written) == keys(CIFG)

    def test_a_layer_runs_it(self):
        layer = gated.Recurrent(CIFG, 3, 4)
        assert layer(torch.randn(5, 2, 3))[0].shape == (5, 2, 4)

    def test_it_pickles_by_its_class(self):
        assert str(pickle.loads(pickle.dumps(CIFG()))) == str(CIFG())


def test_symbols_made_outside_are_the_cells():
    outside = W.f

    class Closed(Peephole):
        where = {"f": lambda x: sigmoid(outside @ x + b.f)}

    assert changed(Closed, Peephole) == {"f": "σ(W_f x + b_f)"}


def test_constants_come_from_python():
    class Half(Peephole):
        where = {"f": lambda i: RATE * (1 - i)}

    assert changed(Half, Peephole) == {"f": "0.5 ⊙ (1 - i)"}


def test_variants_may_be_defined_in_several_threads_at_once():
    made: list[list[str]] = []

    def make():
        for _ in range(20):
            made.append(printed(type("CIFG", (Peephole,), {"where": CIFG.where})))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [printed(CIFG)] * 80


def test_two_equations_on_one_line_are_known_in_the_order_in_which_they_depend():
    class Nested(Cell):
        def step(self, x, h, c):
            c = c + (i := sigmoid(W.i @ x + b.i)) * tanh(W.g @ x)
            h = i * tanh(c)
            return h, c

    class Other(Nested):
        where = {"i": lambda x: sigmoid(W.k @ x)}

    assert list(Nested.graph.equations) == ["i", "c", "h"]
    assert [p.key for p in Other().parameters] == ["W.g", "W.k"]


def test_equations_that_a_base_computes_are_known_in_the_order_in_which_they_depend():
    class Called(LSTM):
        def step(self, x, h, c):
            h, c = super().step(x, h, c)
            return h, c

    class Halved(Called):
        where = {"c": lambda last_c: 0.5 * last_c}

    assert list(Called.graph.equations) == ["c", "h"]
    assert {p.key for p in Halved().parameters} == {"W.o", "U.o", "b.o"}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_must_be_finite(value):
    with pytest.raises(CellError, match="expected a number"):
        type("Endless", (LSTM,), {"where": {"f": value}})
