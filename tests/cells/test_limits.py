"""Where one cell becomes another: the limits that relate the equations of the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
from by_key import D, H, P, call, layer_of, random_inputs, random_states, random_values

import gated

OPEN, SHUT = 100.0, -1000.0  # biases at which a sigmoid is 1, and 0, exactly


def results(cell, values, states, inputs, **options):
    """The output and the final states by name."""
    output, final, _ = call(layer_of(cell, values, **options), inputs, states)
    return {"output": output, **final}


def assert_same(found, wanted, tolerance=1e-12):
    for name in found.keys() & wanted.keys():
        np.testing.assert_allclose(
            found[name], wanted[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


def runs_alike(one, its_values, other, other_values):
    """Both cells, from the same states over the same sequence, do the same."""
    states, x = random_states(one), random_inputs("lstm")
    assert {"h"} <= {state.name for state in gated.cell(other).states}
    found = results(one, its_values, states, x)
    assert np.ptp(found["output"]) > 0.01, "a run that shows nothing"
    assert_same(found, results(other, other_values, states, x))


def with_gate(values, gate, bias):
    """The parameters with one gate's bias set."""
    return {**values, f"b.{gate}": np.full_like(values[f"b.{gate}"], bias)}


def negated(values, gate):
    """The parameters with one gate's argument negated: sigmoid(-a) = 1 - sigmoid(a)."""
    return {k: -v if k.endswith(f".{gate}") else v for k, v in values.items()}


def zeroed(values, *letters):
    """The parameters with whole families, or single ones, at 0."""
    return {
        k: 0 * v if k in letters or k.partition(".")[0] in letters else v for k, v in values.items()
    }


# --- the LSTMs


def test_the_peephole_lstm_without_its_peepholes_is_the_lstm():
    values = zeroed(random_values("peephole"), "p")
    runs_alike("peephole", values, "lstm", values)


def test_np_is_the_lstm():
    values = random_values("np")
    runs_alike("np", values, "lstm", values)


@pytest.mark.parametrize(("variant", "gate"), [("nig", "i"), ("nfg", "f"), ("nog", "o")])
def test_a_variant_without_a_gate_is_the_peephole_lstm_with_that_gate_open(variant, gate):
    values = random_values("peephole")
    runs_alike("peephole", with_gate(values, gate, OPEN), variant, values)


def test_cifg_is_the_peephole_lstm_whose_forget_gate_mirrors_its_input_gate():
    values = random_values("cifg")
    mirror = {f"{letter}.f": -values[f"{letter}.i"] for letter in "WUpb"}
    runs_alike("peephole", {**values, **mirror}, "cifg", values)


@pytest.mark.parametrize(("variant", "small"), [("niaf", ["g"]), ("noaf", ["g", "c"])])
def test_a_variant_without_a_squashing_function_is_the_peephole_lstm_where_that_is_linear(
    variant, small
):
    # tanh(a) is a to within a^3 / 3
    values, states, x = random_values("peephole"), random_states("peephole"), random_inputs("lstm")
    found, wanted = (results(cell, values, states, x) for cell in ("peephole", variant))
    assert np.abs(found["h"] - wanted["h"]).max() > 1e-2, "elsewhere they differ"
    tiny = {k: 1e-6 * v if k.endswith(".g") else v for k, v in values.items()}
    start = {k: 1e-6 * v for k, v in states.items()}
    found, wanted = (results(cell, tiny, start, x) for cell in ("peephole", variant))
    assert 1e-8 < np.abs(found["h"]).max() < 1e-4
    assert_same(
        {k: 1e6 * v for k, v in found.items()}, {k: 1e6 * v for k, v in wanted.items()}, 1e-9
    )


def test_fgr_without_its_nine_matrices_is_the_peephole_lstm():
    values = zeroed(random_values("fgr"), "R")
    runs_alike("fgr", values, "peephole", values)


def test_the_lstm_of_1997_is_the_lstm_with_an_open_forget_gate():
    values = random_values("lstm")
    runs_alike("lstm", with_gate(values, "f", OPEN), "lstm-1997", values)


def test_lstmp_that_projects_to_its_first_units_is_an_lstm_that_feeds_only_these_back():
    lstm = random_values("lstm")
    narrow = {k: v[:, :P] if k.startswith("U") else v for k, v in lstm.items()}
    narrow["R"] = np.eye(H)[:P]
    wide = {k: v * (np.arange(H) < P) if k.startswith("U") else v for k, v in lstm.items()}
    states, x = random_states("lstm"), random_inputs("lstm")
    found = results("lstmp", narrow, {"h": states["h"][:, :P], "c": states["c"]}, x)
    wanted = results("lstm", wide, states, x)
    np.testing.assert_allclose(found["output"], wanted["output"][..., :P], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["c"], wanted["c"], rtol=0, atol=1e-12)


def test_a_projected_lstm_is_lstmp():
    values, states, x = random_values("lstmp"), random_states("lstmp"), random_inputs("lstm")
    found = results("lstm", values, states, x, proj_size=P)
    assert_same(found, results("lstmp", values, states, x), 0)


def test_layer_normalisation_does_not_see_a_shift_of_all_gates_together():
    values, states, x = random_values("layernorm-lstm"), *_run_of("layernorm-lstm")
    for letter, columns in (("W", D), ("U", H)):
        same_row = np.random.default_rng(9).normal(size=columns)
        shifted = {k: v + same_row if k[0] == letter else v for k, v in values.items()}
        found = results("layernorm-lstm", shifted, states, x)
        assert_same(found, results("layernorm-lstm", values, states, x))
        one_gate = {**values, f"{letter}.i": values[f"{letter}.i"] + same_row}
        other = results("layernorm-lstm", one_gate, states, x)
        assert np.abs(other["output"] - found["output"]).max() > 1e-2, "the gates are one vector"


@pytest.mark.parametrize("letter", ["W", "U"])
def test_layer_normalisation_does_not_see_a_scale_of_all_gates_together(letter):
    # far above the 1e-5 that keeps the root from 0
    values, states, x = random_values("layernorm-lstm"), *_run_of("layernorm-lstm")
    large = {k: 1e5 * v if k[0] == letter else v for k, v in values.items()}
    larger = {k: 3e5 * v if k[0] == letter else v for k, v in values.items()}
    found = results("layernorm-lstm", large, states, x)
    assert_same(found, results("layernorm-lstm", larger, states, x))


def _run_of(cell):
    return random_states(cell), random_inputs(cell)


# --- the GRUs


def test_the_two_grus_are_one_where_the_reset_gate_is_open():
    values = with_gate(random_values("gru"), "r", OPEN)
    summed = {**values, "b.n": values["b.n"] + values["b_h.n"]}
    runs_alike("gru", values, "gru-reset-before", summed)


@pytest.mark.parametrize("gru", ["gru", "gru-reset-before"])
def test_a_gru_that_neither_keeps_nor_resets_is_the_rnn(gru):
    values = with_gate(with_gate(random_values(gru), "r", OPEN), "z", SHUT)
    bias = values["b.n"] + values.get("b_h.n", 0)
    runs_alike(gru, values, "rnn", {"W": values["W.n"], "U": values["U.n"], "b": bias})


def test_mut2_with_a_projected_x_is_the_gru_with_z_mirrored():
    values = random_values("mut2")
    runs_alike("mut2", values, "gru-reset-before", negated(values, "z"))


def test_mut3_whose_update_gate_sees_no_state_is_such_a_mut2():
    values = zeroed(random_values("mut2"), "U.z")
    runs_alike("mut3", values, "mut2", values)


def test_mut1_whose_candidate_sees_no_input_is_a_mut2_whose_update_gate_sees_no_state_either():
    values = zeroed(random_values("mut2"), "W.n", "U.z")
    runs_alike("mut1", values, "mut2", values)


# --- what sees x alone, or each unit alone


def test_indrnn_is_the_relu_rnn_with_a_diagonal_matrix():
    values = random_values("indrnn")
    runs_alike("indrnn", values, "rnn-relu", {**values, "U": np.diag(values["U"])})


def test_minlstm_whose_gates_mirror_each_other_is_mingru():
    values = random_values("mingru")
    gates = {
        "W.i": values["W.z"],
        "W.f": -values["W.z"],
        "b.i": values["b.z"],
        "b.f": -values["b.z"],
    }
    runs_alike("minlstm", {**values, **gates}, "mingru", values)


def test_sru_with_its_highway_shut_and_no_peepholes_is_mingru():
    values = with_gate(zeroed(random_values("sru"), "p"), "r", OPEN)
    gates = {"W.z": -values["W.f"], "b.z": -values["b.f"], "b.g": np.zeros(H)}
    states, x = random_states("sru"), random_inputs("sru")
    found = results("sru", values, states, x)
    wanted = results("mingru", {**values, **gates}, {"h": states["c"]}, x)
    assert_same({"output": found["output"]}, {"output": wanted["output"]})


def test_sru_with_its_highway_open_passes_x_on():
    values = with_gate(random_values("sru"), "r", SHUT)
    states, x = random_states("sru"), random_inputs("sru")
    found = results("sru", values, states, x)
    np.testing.assert_allclose(found["output"], x["x"] @ values["V"].T, rtol=0, atol=1e-12)


def test_slstm_that_forgets_all_shows_its_new_value_alone():
    values = with_gate(random_values("slstm"), "f", SHUT)
    _, _, trace = call(layer_of("slstm", values), random_inputs("slstm"), trace=True)
    np.testing.assert_allclose(trace["h"], trace["o"] * trace["z"], rtol=1e-12)


def test_slstm_that_forgets_nothing_and_takes_all_alike_shows_the_mean_of_its_values():
    values = with_gate(zeroed(random_values("slstm"), "W.i", "U.i"), "f", OPEN)
    _, _, trace = call(layer_of("slstm", values), random_inputs("slstm"), trace=True)
    steps = np.arange(1, len(trace["z"]) + 1)[:, None, None]
    mean = np.cumsum(trace["z"], axis=0) / steps
    np.testing.assert_allclose(trace["h"], trace["o"] * mean, rtol=1e-12)


# --- sequences with gaps


def test_gru_d_with_nothing_missing_and_no_gaps_is_the_gru_with_z_mirrored():
    values = zeroed(random_values("gru-d"), "V", "b_gamma")
    states, inputs = random_states("gru-d"), random_inputs("gru-d")
    seen = {**inputs, "mask": np.ones_like(inputs["mask"]), "delta": 0 * inputs["delta"]}
    found = results("gru-d", values, states, seen)
    gru = negated(values, "z")
    wanted = results("gru-reset-before", gru, states, {"x": inputs["x"]})
    assert_same(found, wanted)
    np.testing.assert_array_equal(found["x_last"], inputs["x"][-1])


class ShortGaps(type(gated.cell("t-lstm"))):
    """The T-LSTM with its paper's other discount."""

    where = {"decay": lambda delta: 1 / delta}


@pytest.mark.parametrize(("cell", "gap"), [("t-lstm", 0.0), (ShortGaps, 1.0)])
def test_a_t_lstm_that_discounts_nothing_is_the_lstm(cell, gap):
    values, states = random_values("t-lstm"), random_states("t-lstm")
    inputs = random_inputs("t-lstm")
    found = results(cell, values, states, {**inputs, "delta": np.full_like(inputs["delta"], gap)})
    assert_same(found, results("lstm", values, states, {"x": inputs["x"]}))


def test_a_t_lstm_after_an_endless_gap_keeps_the_long_term_part_alone():
    values, states = random_values("t-lstm"), random_states("t-lstm")
    inputs = random_inputs("t-lstm", steps=1)
    inputs["delta"] = np.full_like(inputs["delta"], np.inf)
    _, _, trace = call(layer_of("t-lstm", values), inputs, states, trace=True)
    long_term = states["c"] - np.tanh(states["c"] @ values["W_d"].T + values["b_d"])
    np.testing.assert_allclose(trace["c_star"][0], long_term, rtol=1e-12, atol=1e-12)
