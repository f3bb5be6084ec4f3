"""What the papers, or those who cite them, say of the cells: shown on runs, and where it ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_key import H, call, layer_of, random_inputs, random_states, random_values

OPEN, SHUT = 100.0, -1000.0  # biases at which a sigmoid is 1, and 0, exactly


def constant(cell, **biases):
    """Parameters that are all 0 but for the biases named, as f=OPEN."""
    values = {k: 0 * v for k, v in random_values(cell).items()}
    return values | {f"b.{gate}": np.full(H, bias) for gate, bias in biases.items()}


def silence(cell, steps):
    """Inputs of 0."""
    return {name: 0 * value for name, value in random_inputs(cell, steps=steps).items()}


# --- memory


@pytest.mark.parametrize("cell", ["lstm", "peephole", "nfg", "lstm-1997", "t-lstm"])
def test_the_cell_state_stays_to_the_bit_while_the_forget_gate_is_1_and_nothing_comes_in(cell):
    gates = {"f": OPEN, "i": SHUT, "o": 0.3, "g": 0.7}
    values = constant(cell, **{k: v for k, v in gates.items() if f"b.{k}" in random_values(cell)})
    states = random_states(cell)
    _, final, _ = call(layer_of(cell, values), silence(cell, 1000), states)
    np.testing.assert_array_equal(final["c"], states["c"])


def test_the_error_flows_back_unchanged_through_a_thousand_steps_of_the_lstm_of_1997():
    layer = layer_of("lstm-1997", constant("lstm-1997", i=0.3, g=0.7))
    h, c = (torch.full((1, 1, H), 0.4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    _, (_, last) = layer(torch.zeros(1000, 1, 3, dtype=torch.float64), (h, c))
    (gradient,) = torch.autograd.grad(last.sum(), c)
    assert torch.equal(gradient, torch.ones_like(c))


def test_what_the_lstm_of_1997_cannot_forget_the_forget_gate_bounds():
    biases = {"i": OPEN, "g": OPEN}
    _, without, _ = call(layer_of("lstm-1997", constant("lstm-1997", **biases)), silence("rnn", 50))
    _, with_gate, _ = call(layer_of("lstm", constant("lstm", **biases)), silence("rnn", 50))
    np.testing.assert_array_equal(without["c"], 50.0)
    np.testing.assert_allclose(with_gate["c"], 2.0)  # 1 + 1/2 + 1/4 + ...


def test_tanh_does_not_keep_the_cell_state_within_one():
    values = constant("lstm", i=OPEN, f=OPEN, g=OPEN, o=OPEN)
    output, final, _ = call(layer_of("lstm", values), silence("lstm", 50))
    np.testing.assert_array_equal(final["c"], 50.0)
    assert np.abs(output).max() <= 1, "it keeps the output there"


def test_without_its_output_function_the_output_leaves_one_too():
    values = constant("noaf", i=OPEN, f=OPEN, g=OPEN, o=OPEN)
    output, _, _ = call(layer_of("noaf", values), silence("noaf", 50))
    np.testing.assert_array_equal(output[-1], 50.0)


def test_an_lstms_gradient_can_explode():
    """All 0 but U.g = 4: f = i = o = 1/2, and the gradient grows by 1/2 + 4/4 a step."""
    values = {**constant("lstm"), "U.g": 4 * np.eye(H)}
    layer = layer_of("lstm", values)
    h, c = (torch.zeros(1, 1, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    _, (_, last) = layer(torch.zeros(100, 1, 3, dtype=torch.float64), (h, c))
    (gradient,) = torch.autograd.grad(last.sum(), c)
    # the first step has no h behind it yet
    np.testing.assert_allclose(gradient.numpy(), 0.5 * 1.5**99, rtol=1e-12)
    assert gradient.min() > 1e17


def test_a_relu_rnn_without_a_bound_on_its_matrix_grows_without_bound():
    values = {"W": np.zeros((H, 3)), "U": np.full(H, 2.0), "b": np.zeros(H)}
    output, _, _ = call(layer_of("indrnn", values), silence("indrnn", 60), {"h": np.ones((2, H))})
    np.testing.assert_array_equal(output[-1], 2.0**60)


@pytest.mark.parametrize(
    ("cell", "keeping"),
    [("gru", OPEN), ("gru-reset-before", OPEN), *((f"mut{n}", SHUT) for n in (1, 2, 3))],
)
def test_z_near_1_keeps_the_state_of_a_gru_and_replaces_that_of_a_mutant(cell, keeping):
    values = random_values(cell)
    values["b.z"] = np.full(H, keeping)
    states = random_states(cell)
    _, final, _ = call(layer_of(cell, values), random_inputs(cell, steps=30), states)
    # PyTorch's operator rounds: n + z (h - n)
    np.testing.assert_allclose(final["h"], states["h"], rtol=1e-13)


# --- forms of one cell


def between_the_grus(values, inputs):
    """How far the two forms are apart at each step; the second bias is 0, the paper has none."""
    values["b_h.n"] = np.zeros(H)
    after, before = (
        call(layer_of(name, values), inputs)[0] for name in ("gru", "gru-reset-before")
    )
    return np.abs(after - before).max(axis=(1, 2))


@pytest.mark.parametrize("seed", range(5))
def test_the_two_grus_with_the_same_weights_drift_apart_by_tenths_within_twenty_steps(seed):
    apart = between_the_grus(random_values("gru", seed), random_inputs("gru", steps=20))
    assert apart[0] < 1e-15, "the reset has nothing to reset yet"
    assert apart.max() > 0.2


def test_with_weights_as_small_as_at_the_start_of_training_they_stay_closer():
    small = {k: 0.25 * v for k, v in random_values("gru").items()}
    apart = between_the_grus(small, random_inputs("gru", steps=20))
    assert 0.001 < apart.max() < 0.1


def test_the_coupled_gates_of_cifg_sum_to_one():
    _, _, trace = call(layer_of("cifg", random_values("cifg")), random_inputs("cifg"), trace=True)
    np.testing.assert_allclose(trace["f"] + trace["i"], 1.0, rtol=1e-15)


def test_the_gates_of_minlstm_sum_to_one_so_that_its_state_stays_among_what_came():
    values, inputs = random_values("minlstm"), random_inputs("minlstm", steps=50)
    states = random_states("minlstm")
    output, _, trace = call(layer_of("minlstm", values), inputs, states, trace=True)
    np.testing.assert_allclose(trace["f"] + trace["i"], 1.0, rtol=1e-15)
    seen = np.concatenate([states["h"][None], trace["g"]])
    assert (output <= np.maximum.accumulate(seen)[1:] + 1e-12).all()
    assert (output >= np.minimum.accumulate(seen)[1:] - 1e-12).all()


def test_minlstm_divides_its_gates_where_both_are_too_small_for_a_float():
    values = constant("minlstm", f=-1000.0, i=-1001.0)
    _, _, trace = call(layer_of("minlstm", values), silence("minlstm", 1), trace=True)
    np.testing.assert_allclose(trace["f"], 1 / (1 + np.exp(-1)), rtol=1e-12)


@pytest.mark.parametrize("cell", ["minlstm", "mingru"])
def test_the_state_of_a_minimal_cell_is_linear_in_the_last_one(cell):
    layer, x = layer_of(cell, random_values(cell)), random_inputs(cell)
    one, other = random_states(cell, seed=1)["h"], random_states(cell, seed=2)["h"]
    of = [call(layer, x, {"h": h})[0] for h in (one, other, 0.3 * one + 0.7 * other)]
    np.testing.assert_allclose(of[2], 0.3 * of[0] + 0.7 * of[1], rtol=1e-12, atol=1e-12)


# --- gaps


def test_gru_d_fills_a_long_gap_with_the_mean_and_forgets_its_state():
    values = random_values("gru-d")
    values["W_gamma.x"], values["W_gamma.h"] = np.ones(3), np.ones((H, 3))
    inputs = {k: v[:1] for k, v in random_inputs("gru-d").items()}
    inputs |= {"mask": 0 * inputs["mask"], "delta": np.full_like(inputs["delta"], 1e4)}
    layer = layer_of("gru-d", values)
    _, _, trace = call(layer, inputs, random_states("gru-d"), trace=True)
    np.testing.assert_array_equal(trace["x_hat"][0], np.stack([values["x_mean"]] * 2))
    np.testing.assert_array_equal(trace["h_hat"], 0.0)


def test_gru_d_holds_the_last_value_seen_until_the_next():
    values, inputs = random_values("gru-d"), random_inputs("gru-d", steps=4)
    inputs["mask"] = np.zeros_like(inputs["mask"])
    inputs["mask"][[0, 3]] = 1
    x = inputs["x"]
    _, _, trace = call(layer_of("gru-d", values), inputs, trace=True)
    np.testing.assert_array_equal(trace["x_last"], np.stack([x[0], x[0], x[0], x[3]]))


def test_a_longer_gap_leaves_less_of_the_short_term_memory_of_a_t_lstm():
    inputs = random_inputs("t-lstm", steps=5, batch=1)
    inputs["delta"][:, 0, 0] = [0, 1, 10, 1000, 1e9]
    layer = layer_of("t-lstm", random_values("t-lstm"))
    _, _, trace = call(layer, inputs, trace=True)
    decay = trace["decay"][:, 0, 0]
    assert decay[0] == 1
    assert (np.diff(decay) < 0).all()
    assert 0 < decay[-1] < 0.05
