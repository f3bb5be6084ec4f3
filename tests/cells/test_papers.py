"""Every cell of the catalogue is its paper's: equal to a loop by hand, in every named value."""

from __future__ import annotations

import numpy as np
import pytest
from by_key import B, call, layer_of, random_inputs, random_states, random_values
from papers import PAPERS, run

import gated
from gated.equations.graph import length

# the papers' symbols for the catalogue's parameters, where another letter or none was taken
SYMBOLS = {
    "rnn": {"W": "W.h", "U": "U.h", "b": "b.h"},
    "rnn-relu": {"W": "W.h", "U": "U.h", "b": "b.h"},
    "indrnn": {"W": "W.h", "U": "u.h", "b": "b.h"},
    "lstmp": {"R": "W.p"},
    "fgr": {f"R.{a}2{b}": f"R.{a}{b}" for a in "ifo" for b in "ifo"},
    "gru": {"b_h.n": "b'.n"},
    "layernorm-lstm": {"gain_c": "gain_c.c"},
    "sru": {"p.f": "v.f", "p.r": "v.r", "W.g": "W.c", "V": "W.h"},
    "gru-d": {"W_gamma.x": "w_gamma.x", "x_mean": "x_mean.x"},
    "t-lstm": {"W_d": "W_d.c", "b_d": "b_d.c"},
}
# the units of inputs and states where they are not D for x and H for a state
SIZES = {
    "lstmp": {"h": "P"},
    "gru-d": {"mask": "D", "delta": "D", "x_last": "D"},
    "t-lstm": {"delta": 1},
}
# gates that a variant holds at 1, so that its equations have no such name
HELD = {"nig": {"i"}, "nfg": {"f"}, "nog": {"o"}}


def in_papers_symbols(name, values):
    """The parameters by the paper's letter and subscript."""
    found = {}
    for key, value in values.items():
        letter, _, subscript = SYMBOLS.get(name, {}).get(key, key).partition(".")
        found.setdefault(letter, {})[subscript] = value
    return found


def initial(name):
    """The states before the first step, as the paper starts them."""
    sizes = {"D": 3, "H": 4, "P": 2}
    return {
        state.name: np.full((B, length(state.size, sizes)), PAPERS[name].start.get(state.name, 0.0))
        for state in gated.cell(name).states
    }


def missing_as_nan(inputs):
    """What the mask says is missing holds NaN, as it does in data."""
    x = np.where(inputs["mask"] > 0, inputs["x"], np.nan) if "mask" in inputs else inputs["x"]
    return {**inputs, "x": x}


def by_hand(name, values, inputs, states):
    further = {key: value for key, value in inputs.items() if key != "x"}
    return run(name, inputs["x"], states, in_papers_symbols(name, values), **further)


def assert_same(got, wanted, what):
    assert got.shape == wanted.shape, what
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12, err_msg=what)


def test_there_is_a_paper_for_every_cell_and_no_other():
    assert sorted(PAPERS) == sorted(gated.cells())


@pytest.mark.parametrize("name", gated.cells())
class TestCell:
    def test_has_the_papers_states_in_order(self, name):
        states = gated.cell(name).states
        assert tuple(state.name for state in states) == PAPERS[name].states

    def test_takes_and_keeps_as_many_units_as_the_paper(self, name):
        graph = gated.cell(name).graph
        sizes = {**graph.input_sizes, **{state.name: state.size for state in graph.states}}
        assert sizes == {"x": "D", **dict.fromkeys(PAPERS[name].states, "H"), **SIZES.get(name, {})}

    def test_takes_the_steps_that_were_taken_by_hand(self, name):
        values, inputs = random_values(name), missing_as_nan(random_inputs(name))
        states = random_states(name)
        output, final, trace = call(layer_of(name, values), inputs, states, trace=True)
        steps = by_hand(name, values, inputs, states)
        assert_same(output, steps[PAPERS[name].states[0]], "output")
        for state in PAPERS[name].states:
            assert_same(final[state], steps[state][-1], f"final {state}")
        assert set(trace) == set(steps) - HELD.get(name, set())
        for gate, value in trace.items():
            assert_same(value, steps[gate], f"{gate} over time")

    def test_starts_where_the_paper_starts(self, name):
        values, inputs = random_values(name, seed=3), missing_as_nan(random_inputs(name, seed=4))
        _, final, trace = call(layer_of(name, values), inputs, trace=True)
        steps = by_hand(name, values, inputs, initial(name))
        for gate, value in trace.items():
            assert_same(value, steps[gate], f"{gate} over time")
        for state in PAPERS[name].states:
            assert_same(final[state], steps[state][-1], f"final {state}")

    def test_is_the_same_on_the_engine_that_is_chosen_for_it(self, name):
        values, inputs, states = random_values(name), random_inputs(name), random_states(name)
        layer = layer_of(name, values)
        output, final, _ = call(layer, inputs, states)
        steps = by_hand(name, values, inputs, states)
        assert_same(output, steps[PAPERS[name].states[0]], "output")
        for state in PAPERS[name].states:
            assert_same(final[state], steps[state][-1], f"final {state}")
