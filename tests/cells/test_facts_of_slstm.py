"""What Beck et al. say of the sLSTM's stabiliser: nothing overflows, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_key import B, H, T, call, layer_of, random_inputs, random_states, random_values


def with_bias(values, gate, bias):
    return {**values, f"b.{gate}": values[f"b.{gate}"] + bias}


def unstabilised(values, x):
    """Equations 8 to 14 of the paper, over one row, from states of 0, with no m."""
    h = c = n = np.zeros(H)
    outputs = []
    for now in x:
        a = {k: values[f"W.{k}"] @ now + values[f"U.{k}"] @ h + values[f"b.{k}"] for k in "ifzo"}
        f, o = 1 / (1 + np.exp(-a["f"])), 1 / (1 + np.exp(-a["o"]))
        c = f * c + np.exp(a["i"]) * np.tanh(a["z"])
        n = f * n + np.exp(a["i"])
        h = o * (c / n)
        outputs.append(h)
    return np.stack(outputs)


def gradients(layer, x, states):
    """The gradients of the sum of the outputs: of x, of each state, of each parameter."""
    leaves = [x, *states, *layer.parameters()]
    for leaf in leaves:
        leaf.requires_grad_()
    output, _ = layer(x, tuple(states))
    return torch.autograd.grad(output.sum(), leaves)


def tensors(states):
    return [torch.from_numpy(states[name]).unsqueeze(0) for name in "hcnm"]


def test_the_stabilised_form_is_the_unstabilised_one_where_that_does_not_overflow():
    values, inputs = random_values("slstm"), random_inputs("slstm", steps=30)
    output, _, _ = call(layer_of("slstm", values), inputs)
    for row in range(B):
        by_hand = unstabilised(values, inputs["x"][:, row])
        np.testing.assert_allclose(output[:, row], by_hand, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bias", [1000.0, -1000.0])
def test_an_input_gate_beyond_every_float_gives_what_one_near_0_gives(bias):
    # c and n are both sums of exp(i), whose ratio does not see a common factor
    values, inputs = random_values("slstm"), random_inputs("slstm", steps=30)
    with np.errstate(over="ignore"):
        assert np.exp(bias) in (0, np.inf)
    far, _, _ = call(layer_of("slstm", with_bias(values, "i", bias)), inputs)
    near, _, _ = call(layer_of("slstm", values), inputs)
    np.testing.assert_allclose(far, near, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bias", [1000.0, -1000.0])
@pytest.mark.parametrize("gate", ["i", "f"])
def test_gradients_are_finite_where_a_gate_is_beyond_every_float(gate, bias):
    layer = layer_of("slstm", with_bias(random_values("slstm"), gate, bias))
    x = torch.from_numpy(random_inputs("slstm")["x"])
    found = gradients(layer, x, tensors(random_states("slstm")))
    assert all(torch.isfinite(g).all() for g in found)
    assert any(g.abs().max() > 1e-3 for g in found)


def test_a_gradient_at_1000_is_the_gradient_near_0():
    values, x = random_values("slstm"), torch.from_numpy(random_inputs("slstm")["x"])
    fresh = tensors({**{k: np.zeros((B, H)) for k in "hcn"}, "m": np.full((B, H), -np.inf)})
    near = gradients(layer_of("slstm", values), x.clone(), [s.clone() for s in fresh])
    layer = layer_of("slstm", with_bias(values, "i", 1000.0))
    far = gradients(layer, x.clone(), [s.clone() for s in fresh])
    for one, other in zip(near, far, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_a_row_that_starts_anew_beside_one_that_goes_on_does_as_each_does_alone():
    values, inputs, live = random_values("slstm"), random_inputs("slstm"), random_states("slstm")
    start = {k: v.copy() for k, v in live.items()}
    for name in "hcn":
        start[name][0] = 0
    start["m"][0] = -np.inf
    layer = layer_of("slstm", values)
    output, final, _ = call(layer, inputs, start)
    alone, its_final, _ = call(layer, {"x": inputs["x"][:, :1]})
    beside, its_other, _ = call(
        layer, {"x": inputs["x"][:, 1:]}, {k: v[1:] for k, v in live.items()}
    )
    np.testing.assert_allclose(output, np.concatenate([alone, beside], axis=1), rtol=1e-12)
    for name in "hcnm":
        both = np.concatenate([its_final[name], its_other[name]])
        np.testing.assert_allclose(final[name], both, rtol=1e-12)


def test_the_gradient_of_both_such_rows_is_finite_and_the_sum_of_theirs():
    values, x = random_values("slstm"), torch.from_numpy(random_inputs("slstm")["x"])
    start = random_states("slstm")
    for name, value in {"h": 0, "c": 0, "n": 0, "m": -np.inf}.items():
        start[name][0] = value
    layer = layer_of("slstm", values)
    together = gradients(layer, x.clone(), tensors(start))
    apart = [
        gradients(layer, x[:, [row]].clone(), tensors({k: v[[row]] for k, v in start.items()}))
        for row in range(B)
    ]
    assert all(torch.isfinite(g).all() for g in together)
    for place, found in enumerate(together):
        parts = [gradient[place] for gradient in apart]
        # x and the states have a row each, the parameters are shared
        wanted = torch.cat(parts, dim=1) if place < 5 else sum(parts)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_n_counts_what_the_stabiliser_left_of_every_input():
    """n exp(m) is the sum of exp(i) times the forget gates since, whatever m is."""
    values, inputs = random_values("slstm"), random_inputs("slstm")
    _, _, trace = call(layer_of("slstm", values), inputs, trace=True)
    n = np.zeros((B, H))
    for t in range(T):
        n = np.exp(trace["logf"][t]) * n + np.exp(trace["i_tilde"][t])
        np.testing.assert_allclose(trace["n"][t] * np.exp(trace["m"][t]), n, rtol=1e-12)
