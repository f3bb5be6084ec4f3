"""Regularisers: noise in a cell's equations in training, their expectation outside it.

Expectations are exact: every outcome of the noise is computed, and weighed by its probability.
"""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import pytest
import torch
from torch import Tensor

import gated
from gated import Heads
from gated.engines.reference import evaluate
from gated.equations import Cell, U, V, W, b, sigmoid, tanh
from gated.equations.graph import length
from gated.equations.maps import mapped
from gated.equations.noise import Noise
from gated.errors import OptionError

SIZES = {"D": 2, "H": 2, "P": 1}
RATE = 0.25

dropconnect, recurrent_dropout = gated.dropconnect, gated.recurrent_dropout
variational_dropout, zoneout = gated.variational_dropout, gated.zoneout


class Linear(Cell):
    """A cell in which every expectation passes through."""

    def step(self, x, h):
        h = W @ x + U @ h + b
        return h


def lines(cell: Cell) -> dict[str, str]:
    """The printed equations by name."""
    pairs = [line.split("=", 1) for line in str(cell).splitlines()]
    return {name.strip(): text.strip() for name, text in pairs}


def in_training(cell: Cell) -> dict[str, str]:
    """The printed equations that differ in training, by name."""
    plain = lines(gated.cell(cell.name)) if cell.name in gated.cells() else {}
    return {n: text for n, text in lines(cell.training).items() if plain.get(n) != text}


def values(cell: Cell) -> dict[str, Tensor]:
    """A value for every input, state and parameter, by label; states are not their initial ones."""
    draw = torch.Generator().manual_seed(3)
    shapes = {name: (size,) for name, size in cell.graph.input_sizes.items()}
    shapes |= {state.name: (state.size,) for state in cell.states}
    shapes |= {p.key: p.shape for p in cell.parameters}
    found = {}
    for label, shape in shapes.items():
        numbers = [length(size, SIZES) for size in shape]
        found[label] = torch.randn(numbers, generator=draw, dtype=torch.float64)
    return found | {name: found[name].abs() for name in ("n", "delta", "mask") if name in found}


def step(cell: Cell, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """One step of a cell's equations, every new state by name."""
    graph = cell.graph
    known = {node: given[node.label] for node in graph.nodes() if node.label in given}
    found = evaluate(graph.updates.values(), known)
    return {name: found[node] for name, node in graph.updates.items()}


def outcomes(noise: tuple[Noise, ...]):
    """Every outcome of some noise by name, with its probability."""
    units = [(one, length(one.size, SIZES)) for one in noise]
    for hits in itertools.product([True, False], repeat=sum(count for _, count in units)):
        left, probability, drawn = list(hits), 1.0, {}
        for one, count in units:
            own, left = left[:count], left[count:]
            no, yes = (1 / (1 - one.rate), 0.0) if one.scaled else (0.0, 1.0)
            drawn[one.name] = torch.tensor([yes if hit else no for hit in own], dtype=torch.float64)
            probability *= math.prod(one.rate if hit else 1 - one.rate for hit in own)
        yield drawn, probability


def expected(cell: Cell, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of one step of the training equations over all outcomes of the noise."""
    total: dict[str, Tensor] = {}
    weight = 0.0
    for drawn, probability in outcomes(cell.noise):
        weight += probability
        for name, value in step(cell.training, given | drawn).items():
            total[name] = total.get(name, 0.0) + probability * value
    assert weight == pytest.approx(1)
    return total


def assert_expected(cell: Cell, *names: str) -> None:
    """The noise moves the first of these states; their means in training are what is without it."""
    given = values(cell)
    mean, plain = expected(cell, given), step(cell, given)
    drawn = [step(cell.training, given | one)[names[0]] for one, _ in outcomes(cell.noise)]
    assert all((torch.stack(drawn).std(dim=0) > 1e-9).tolist())
    for name in names:
        torch.testing.assert_close(mean[name], plain[name], rtol=1e-12, atol=1e-14)


class TestZoneout:
    def test_the_lstm(self):
        cell = zoneout("lstm", h=0.05, c=0.5)
        assert in_training(cell) == {
            "c_new": "f ⊙ c₋ + i ⊙ g",
            "c": "select(zoneout_c, c₋, c_new)",
            "h_new": "o ⊙ tanh(c_new)",
            "h": "select(zoneout_h, h₋, h_new)",
        }
        assert lines(cell)["c"] == "0.5 ⊙ c₋ + 0.5 ⊙ c_new"
        assert lines(cell)["h"] == "0.05 ⊙ h₋ + 0.95 ⊙ h_new"

    def test_what_else_the_step_computes_sees_what_the_equations_give(self):
        cell = zoneout("peephole", c=0.5)
        assert "p_o ⊙ c_new" in lines(cell)["o"]
        assert "p_i ⊙ c₋" in lines(cell)["i"]

    def test_states_that_are_not_named_stay_as_they_are(self):
        assert "h_new" not in lines(zoneout("lstm", c=0.5).training)

    def test_one_rate_is_for_all_states_and_a_name_goes_before_it(self):
        assert {n.name: n.rate for n in zoneout("lstm", 0.1, c=0.5).noise} == {
            "zoneout_h": 0.1,
            "zoneout_c": 0.5,
        }

    def test_the_noise_is_drawn_at_every_step_for_each_unit_and_is_one_or_zero(self):
        (noise,) = zoneout("lstmp", h=0.1).noise
        assert noise == Noise("zoneout_h", 0.1, "step", "P", scaled=False)

    @pytest.mark.parametrize(
        "name",
        ["rnn", "lstm", "peephole", "lstmp", "gru", "gru-reset-before", "mingru", "indrnn", "fgr"],
    )
    def test_outside_training_every_state_is_its_mean(self, name):
        cell = zoneout(name, RATE)
        assert_expected(cell, *(state.name for state in cell.states))

    def test_the_output_of_the_slstm_is_its_mean(self):
        assert_expected(zoneout("slstm", h=RATE), "h", "c", "n", "m")

    def test_a_unit_that_is_hit_keeps_its_value_bit_for_bit(self):
        cell = zoneout("lstm", 0.5)
        given = values(cell)
        hit = torch.tensor([1.0, 0.0], dtype=torch.float64)
        found = step(cell.training, given | {"zoneout_h": hit, "zoneout_c": hit})
        plain = step(gated.cell("lstm"), given)
        for name in "hc":
            assert found[name][0] == given[name][0]
            assert found[name][1] == plain[name][1]

    def test_the_name_of_what_the_equations_give_is_free(self):
        class Taken(Cell):
            def step(self, x, h):
                h_new = tanh(W @ x + U @ h)
                h = 0.5 * h + 0.5 * h_new
                return h

        assert list(lines(zoneout(Taken, 0.1).training)) == ["h_new", "h_new_new", "h"]


class TestRecurrentDropout:
    @pytest.mark.parametrize(
        ("name", "state", "equation"),
        [
            ("lstm", "c", "f ⊙ c₋ + i ⊙ g ⊙ recurrent_dropout_c"),
            ("peephole", "c", "f ⊙ c₋ + i ⊙ g ⊙ recurrent_dropout_c"),
            ("lstm-1997", "c", "c₋ + i ⊙ g ⊙ recurrent_dropout_c"),
            ("cifg", "c", "f ⊙ c₋ + i ⊙ g ⊙ recurrent_dropout_c"),
            ("gru", "h", "(1 - z) ⊙ n ⊙ recurrent_dropout_h + z ⊙ h₋"),
            ("gru-reset-before", "h", "(1 - z) ⊙ n ⊙ recurrent_dropout_h + z ⊙ h₋"),
            ("mut1", "h", "n ⊙ z ⊙ recurrent_dropout_h + h₋ ⊙ (1 - z)"),
            ("minlstm", "h", "f ⊙ h₋ + i ⊙ g ⊙ recurrent_dropout_h"),
            ("mingru", "h", "(1 - z) ⊙ h₋ + z ⊙ g ⊙ recurrent_dropout_h"),
            ("sru", "c", "f ⊙ c₋ + (1 - f) ⊙ g ⊙ recurrent_dropout_c"),
            ("t-lstm", "c", "f ⊙ c_star + i ⊙ g ⊙ recurrent_dropout_c"),
        ],
    )
    def test_only_what_a_step_adds_is_dropped(self, name, state, equation):
        cell = recurrent_dropout(name, RATE)
        assert in_training(cell) == {state: equation}
        assert str(cell) == str(gated.cell(name))
        assert_expected(cell, state)

    def test_states_can_be_chosen(self):
        cell = recurrent_dropout("slstm", RATE, states=("c", "n"))
        assert in_training(cell) == {
            "c": "f ⊙ c₋ + i ⊙ z ⊙ recurrent_dropout_c",
            "n": "f ⊙ n₋ + i ⊙ recurrent_dropout_n",
        }
        assert_expected(cell, "c", "n")

    def test_one_state_may_be_given_as_a_word(self):
        assert in_training(recurrent_dropout("gru-d", RATE, states="h")) == {
            "h": "(1 - z) ⊙ h_hat + z ⊙ n ⊙ recurrent_dropout_h"
        }

    def test_a_term_with_a_name_is_dropped_where_it_is_added_and_nowhere_else(self):
        class Named(Cell):
            def step(self, x, h, c):
                g = tanh(W.g @ x + U.g @ h)
                f = sigmoid(W.f @ x + g)
                c = f * c + g
                h = g * tanh(c)
                return h, c

        cell = recurrent_dropout(Named, RATE)
        changed = {n: t for n, t in lines(cell.training).items() if lines(Named())[n] != t}
        assert changed == {"c": "f ⊙ c₋ + g ⊙ recurrent_dropout_c"}
        assert_expected(cell, "c")

    def test_every_term_that_is_added_is_dropped(self):
        class Several(Cell):
            def step(self, x, h):
                z = sigmoid(W.z @ x)
                n = tanh(W.n @ x + U.n @ h)
                h = n - z * n + z * h - b.h
                return h

        mask = "recurrent_dropout_h"
        assert lines(recurrent_dropout(Several, RATE).training)["h"] == (
            f"(n - z ⊙ n) ⊙ {mask} + z ⊙ h₋ - b_h ⊙ {mask}"
        )

    @pytest.mark.parametrize("scope", ["step", "sequence"])
    def test_it_is_drawn_as_asked(self, scope):
        (noise,) = recurrent_dropout("lstm", RATE, scope=scope).noise
        assert noise == Noise("recurrent_dropout_c", RATE, scope, "H")


class TestVariationalDropout:
    @pytest.mark.parametrize(
        ("name", "equations"),
        [
            ("rnn", {"h": "tanh(W (x ⊙ dropout_x) + U (h₋ ⊙ dropout_h) + b)"}),
            (
                "gru",
                {
                    "r": "σ(W_r (x ⊙ dropout_x) + U_r (h₋ ⊙ dropout_h) + b_r)",
                    "z": "σ(W_z (x ⊙ dropout_x) + U_z (h₋ ⊙ dropout_h) + b_z)",
                    "n": "tanh(W_n (x ⊙ dropout_x) + b_n + r ⊙ (U_n (h₋ ⊙ dropout_h) + b'_n))",
                },
            ),
            (
                "gru-reset-before",
                {
                    "r": "σ(W_r (x ⊙ dropout_x) + U_r (h₋ ⊙ dropout_h) + b_r)",
                    "z": "σ(W_z (x ⊙ dropout_x) + U_z (h₋ ⊙ dropout_h) + b_z)",
                    "n": "tanh(W_n (x ⊙ dropout_x) + U_n (r ⊙ h₋ ⊙ dropout_h) + b_n)",
                },
            ),
            (
                "mingru",
                {"z": "σ(W_z (x ⊙ dropout_x) + b_z)", "g": "W_g (x ⊙ dropout_x) + b_g"},
            ),
            ("indrnn", {"h": "relu(W (x ⊙ dropout_x) + U ⊙ h₋ ⊙ dropout_h + b)"}),
        ],
    )
    def test_all_matrices_see_the_same_mask(self, name, equations):
        cell = variational_dropout(name, RATE)
        assert in_training(cell) == equations
        assert str(cell) == str(gated.cell(name))

    def test_what_is_read_unit_by_unit_is_not_dropped(self):
        equations = lines(variational_dropout("peephole", RATE).training)
        assert equations["i"] == "σ(W_i (x ⊙ dropout_x) + U_i (h₋ ⊙ dropout_h) + p_i ⊙ c₋ + b_i)"
        assert equations["c"] == "f ⊙ c₋ + i ⊙ g"

    def test_a_state_reaches_a_matrix_through_a_function(self):
        assert (
            "U_z (tanh(h₋) ⊙ dropout_h)" in lines(variational_dropout("mut3", RATE).training)["z"]
        )

    def test_every_state_that_a_matrix_reads_has_its_mask(self):
        assert {n.name: n.size for n in variational_dropout("fgr", RATE).noise} == dict.fromkeys(
            ["dropout_x", "dropout_h", "dropout_i", "dropout_f", "dropout_o"], "H"
        ) | {"dropout_x": "D"}
        assert "dropout_c" in {n.name for n in variational_dropout("t-lstm", RATE).noise}

    def test_what_stands_for_a_missing_input_is_the_input_and_a_mask_is_not(self):
        equations = lines(variational_dropout("gru-d", inputs=RATE).training)
        assert equations["z"] == "σ(W_z (x_hat ⊙ dropout_x) + U_z h_hat + V_z mask + b_z)"

    def test_what_a_projection_reads_is_no_state_of_the_last_step(self):
        cell = variational_dropout("lstmp", RATE)
        assert lines(cell.training)["h"] == "R (o ⊙ tanh(c))"
        assert {n.name: n.size for n in cell.noise} == {"dropout_x": "D", "dropout_h": "P"}

    def test_an_inner_matrix_reads_the_input_and_an_outer_one_does_not(self):
        class Deep(Cell):
            def step(self, x, h):
                h = tanh(W @ tanh(V @ x) + U @ h)
                return h

        assert lines(variational_dropout(Deep, inputs=RATE).training) == {
            "h": "tanh(W tanh(V (x ⊙ dropout_x)) + U h₋)"
        }

    @pytest.mark.parametrize(
        ("rates", "names"),
        [({"inputs": 0.1}, ["dropout_x"]), ({"states": 0.1}, ["dropout_h"])],
    )
    def test_inputs_and_states_have_rates_of_their_own(self, rates, names):
        assert [n.name for n in variational_dropout("lstm", **rates).noise] == names

    def test_it_is_drawn_once_a_call(self):
        assert {n.scope for n in variational_dropout("lstm", RATE).noise} == {"sequence"}

    def test_what_is_linear_keeps_its_mean(self):
        assert_expected(variational_dropout(Linear, RATE), "h")


class TestDropconnect:
    @pytest.mark.parametrize(
        ("name", "keys"),
        [
            ("rnn", ["U"]),
            ("lstm", ["U.i", "U.f", "U.g", "U.o"]),
            ("gru-reset-before", ["U.r", "U.z", "U.n"]),
            ("peephole", ["U.i", "U.f", "U.g", "U.o"]),
            ("gru-d", ["U.r", "U.z", "U.n"]),
            ("indrnn", ["U"]),
        ],
    )
    def test_the_recurrent_weights_are_hit_and_no_equation_changes(self, name, keys):
        cell = dropconnect(name, RATE)
        assert [list(noise.keys) for noise in cell.noise] == [keys]
        assert cell.noise[0].scope == "weights"
        assert str(cell.training) == str(cell) == str(gated.cell(name))

    def test_a_diagonal_recurrence_has_recurrent_weights_too(self):
        cell = mapped(gated.cell("lstm"), "diagonal")
        assert dropconnect(cell, RATE).noise == dropconnect("lstm", RATE).noise

    def test_what_is_linear_keeps_its_mean(self):
        cell, mean = dropconnect(Linear, RATE), torch.zeros(2, dtype=torch.float64)
        given = values(cell)
        each_weight = (Noise("U", cell.noise[0].rate, "weights", size=4),)
        for drawn, probability in outcomes(each_weight):
            hit = given | {"U": given["U"] * drawn["U"].view(2, 2)}
            mean += probability * step(cell.training, hit)["h"]
        torch.testing.assert_close(mean, step(cell, given)["h"])


WRAPPERS = {
    "zoneout": lambda cell: zoneout(cell, c=0.5),
    "recurrent": lambda cell: recurrent_dropout(cell, 0.2),
    "variational": lambda cell: variational_dropout(cell, 0.3),
    "dropconnect": lambda cell: dropconnect(cell, 0.4),
    "diagonal": lambda cell: mapped(gated.cell(cell), "diagonal"),
    "heads": lambda cell: mapped(gated.cell(cell), {"U": Heads(2), "W": Heads(2)}),
}


# a matrix has one map
PAIRS = sorted({*itertools.combinations(WRAPPERS, 2)} - {("diagonal", "heads")})


class TestTogether:
    @pytest.mark.parametrize(("first", "second"), PAIRS)
    def test_the_order_does_not_matter(self, first, second):
        one, other = WRAPPERS[first], WRAPPERS[second]
        a, z = one(other("lstm")), other(one("lstm"))
        assert lines(a) == lines(z)
        assert lines(a.training) == lines(z.training)
        assert {n.name: n for n in a.noise} == {n.name: n for n in z.noise}
        assert [(p.key, p.shape) for p in a.parameters] == [(p.key, p.shape) for p in z.parameters]

    def test_all_at_once(self):
        cell: Cell = gated.cell("lstm")
        for name in ("heads", "dropconnect", "variational", "recurrent", "zoneout"):
            cell = WRAPPERS[name](cell)
        assert lines(cell.training)["c_new"] == "f ⊙ c₋ + i ⊙ g ⊙ recurrent_dropout_c"
        assert lines(cell.training)["i"] == "σ(W_i (x ⊙ dropout_x) + U_i (h₋ ⊙ dropout_h) + b_i)"
        assert len({noise.name for noise in cell.noise}) == len(cell.noise) == 5

    def test_the_names_of_noise_differ_where_two_treat_one_state(self):
        cell = zoneout(variational_dropout(recurrent_dropout("gru", 0.1), 0.2), 0.3)
        assert [noise.name for noise in cell.noise] == [
            "recurrent_dropout_h", "dropout_x", "dropout_h", "zoneout_h",
        ]  # fmt: skip

    def test_states_can_be_treated_one_after_the_other(self):
        one, both = zoneout(zoneout("lstm", h=0.1), c=0.5), zoneout("lstm", h=0.1, c=0.5)
        assert lines(one.training) == lines(both.training)
        assert lines(one) == lines(both)

    def test_the_inputs_of_the_training_equations_are_the_cells_and_the_noise(self):
        cell = zoneout(variational_dropout("t-lstm", 0.2), c=0.5)
        assert list(cell.graph.inputs) == ["x", "delta"]
        assert list(cell.training.graph.inputs) == ["x", "delta", *(n.name for n in cell.noise)]

    def test_the_memory_is_that_of_the_cell_without_other_regularisers(self):
        with pytest.raises(OptionError, match="no state of rnn keeps"):
            recurrent_dropout(zoneout("rnn", 0.1), 0.2)

    def test_parameters_are_stored_as_the_cells(self):
        for wrap in WRAPPERS.values():
            cell = wrap("lstm")
            assert [p.key for p in cell.parameters] == [
                p.key for p in gated.cell("lstm").parameters
            ]


class TestRateZero:
    @pytest.mark.parametrize("wrap", [zoneout, recurrent_dropout, variational_dropout, dropconnect])
    def test_is_the_identity(self, wrap):
        assert wrap("lstm", 0.0) is gated.cell("lstm")
        assert wrap("lstm", 0) is gated.cell("lstm")

    def test_of_some_states_leaves_those_as_they_are(self):
        assert lines(zoneout("lstm", h=0.0, c=0.5)) == lines(zoneout("lstm", c=0.5))
        assert zoneout("slstm", 0.0) is gated.cell("slstm")

    def test_a_cell_without_noise_is_its_own_training(self):
        assert gated.cell("lstm").training is gated.cell("lstm")


class TestRefused:
    @pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan, True, "0.1", None])
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda rate: zoneout("lstm", h=rate),
            lambda rate: recurrent_dropout("lstm", rate),
            lambda rate: variational_dropout("lstm", inputs=rate),
            lambda rate: variational_dropout("lstm", states=rate),
            lambda rate: dropconnect("lstm", rate),
        ],
    )
    def test_a_rate_is_a_probability_below_one(self, wrap, rate):
        with pytest.raises(OptionError, match="expected a probability from 0 to below 1"):
            wrap(rate)

    @pytest.mark.parametrize(
        ("wrap", "complaint"),
        [
            (lambda: zoneout("lstm"), "zoneout: give a rate for all states, or for some of h, c"),
            (lambda: zoneout("lstm", m=0.1), "zoneout: lstm has no state m: its states are h, c"),
            (lambda: zoneout("slstm", 0.1), "keeps its states relative to m, which has no mean"),
            (lambda: zoneout("slstm", c=0.1), "c cannot be kept apart; treat h alone"),
            (lambda: recurrent_dropout("rnn", 0.1), "there is no memory to spare"),
            (lambda: recurrent_dropout("indrnn", 0.1), "there is no memory to spare"),
            (lambda: recurrent_dropout("slstm", 0.1), "slstm keeps c, n: name those to treat"),
            (lambda: recurrent_dropout("lstm", 0.1, states="h"), "does not keep h by a factor"),
            (lambda: recurrent_dropout("lstm", 0.1, states=("q",)), "does not keep q by a factor"),
            (lambda: recurrent_dropout("lstm", 0.1, states=3), "states is 3, expected names"),
            (lambda: recurrent_dropout("lstm", 0.1, scope="call"), "expected 'step' or 'sequence'"),
            (lambda: variational_dropout("mingru", states=0.1), "no matrix of mingru reads"),
            (lambda: variational_dropout("lstm", 0.1, states=0.2), "rate is for both"),
            (lambda: dropconnect("mingru", 0.1), "mingru has no recurrent matrix"),
            (lambda: dropconnect("sru", 0.1), "sru has no recurrent matrix"),
            (lambda: zoneout(zoneout("lstm", h=0.1), 0.2), "lstm has zoneout_h already"),
            (lambda: dropconnect(dropconnect("lstm", 0.1), 0.2), "lstm has dropconnect already"),
            (
                lambda: variational_dropout(variational_dropout("lstm", 0.1), states=0.2),
                "lstm has dropout_h already: combine each kind of noise once",
            ),
            (
                lambda: recurrent_dropout(recurrent_dropout("lstm", 0.1), 0.2),
                "lstm has recurrent_dropout_c already",
            ),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused_with_the_reason(self, wrap, complaint):
        with pytest.raises(OptionError) as error:
            wrap()
        assert complaint in str(error.value)

    def test_a_cell_that_has_the_noises_name_for_something_else(self):
        class Own(Cell):
            inputs = {"x": "D", "zoneout_h": "H"}

            def step(self, x, zoneout_h, h):
                h = tanh(W @ x + zoneout_h + U @ h)
                return h

        with pytest.raises(OptionError, match="own has a symbol zoneout_h of its own; rename it"):
            zoneout(Own, 0.1)

    def test_a_state_that_nothing_is_added_to_has_no_memory_to_spare(self):
        class Fading(Cell):
            def step(self, x, h, c):
                c = 0.5 * c
                h = tanh(W @ x + U @ h + c)
                return h, c

        with pytest.raises(OptionError, match="there is no memory to spare"):
            recurrent_dropout(Fading, 0.1)

    def test_an_unknown_cell_gets_the_nearest(self):
        with pytest.raises(gated.GatedError, match="did you mean 'lstm'"):
            zoneout("lsmt", 0.1)


class TestCopies:
    @pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
    @pytest.mark.parametrize("name", WRAPPERS)
    def test_are_the_same_cell(self, again, name):
        cell = WRAPPERS[name](recurrent_dropout("lstm", 0.1) if name == "zoneout" else "lstm")
        other = again(cell)
        assert str(other) == str(cell)
        assert str(other.training) == str(cell.training)
        assert other.noise == cell.noise
        assert repr(other) == repr(cell)

    def test_the_training_equations_can_be_pickled_by_themselves(self):
        training = zoneout("lstm", 0.1).training
        assert str(pickle.loads(pickle.dumps(training))) == str(training)

    def test_the_repr_shows_the_noise(self):
        cell = zoneout(dropconnect("lstm", 0.5), h=0.05)
        assert repr(cell) == "<cell lstm: states h, c; dropconnect 0.5; zoneout_h 0.05>"


@pytest.mark.parametrize("name", gated.cells())
def test_every_cell_of_the_catalogue_is_treated_or_refused_with_its_name(name):
    for wrap in (zoneout, recurrent_dropout, variational_dropout, dropconnect):
        try:
            cell = wrap(name, RATE)
        except OptionError as error:
            message = str(error)
        else:
            message = name
            assert set(cell.training.graph.inputs) >= set(cell.graph.inputs)
            assert [p.key for p in cell.training.parameters] == [p.key for p in cell.parameters]
            again = pickle.loads(pickle.dumps(cell))
            assert (str(again.training), again.noise) == (str(cell.training), cell.noise)
        assert name in message


def test_a_rate_for_all_is_for_the_output_and_the_memories_of_hidden_units():
    def treated(cell: str) -> list[str]:
        return [one.name for one in zoneout(cell, RATE).noise]

    assert treated("lstm") == ["zoneout_h", "zoneout_c"]
    assert treated("fgr") == ["zoneout_h", "zoneout_c"]  # not the gates of the last step
    assert treated("gru-d") == ["zoneout_h"]  # not what was last observed


@pytest.mark.parametrize("cell", ["lstmp", "lstm"])
def test_dropconnect_leaves_the_outputs_projection_alone(cell):
    assert dropconnect(cell, RATE).noise[0].keys == ("U.i", "U.f", "U.g", "U.o")
