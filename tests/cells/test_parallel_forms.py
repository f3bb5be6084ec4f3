"""minLSTM and minGRU without a loop over time: two parallel forms, written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_key import H, call, layer_of, random_inputs, random_states, random_values

T, B = 200, 3
CELLS = ["minlstm", "mingru"]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gates(name, values, x):
    """(how much stays, how much comes, what comes), each (T, B, H), for all steps at once."""

    def linear(subscript):
        return x @ values[f"W.{subscript}"].T + values[f"b.{subscript}"]

    if name == "mingru":
        z = sigmoid(linear("z"))
        return 1 - z, z, linear("g")
    f, i = sigmoid(linear("f")), sigmoid(linear("i"))
    return f / (f + i), i / (f + i), linear("g")


def by_scan(stays, comes, what, h):
    """h(t) = a(t) h(t-1) + b(t) in log2(T) rounds: pairs (a, b) are composed at doubling distance.

    (a2, b2) after (a1, b1) is (a2 a1, a2 b1 + b2).
    """
    a, b = stays.copy(), comes * what
    distance = 1
    while distance < len(a):
        # all of a round reads what the last round left
        a[distance:], b[distance:] = (
            a[distance:] * a[:-distance],
            a[distance:] * b[:-distance] + b[distance:],
        )
        distance *= 2
    return a * h + b


def by_logarithms(stays, comes, what, h):
    """The paper's form: cumulative sums of logarithms, positive and negative values apart.

    With A the cumulative sum of log a, h(t) exp(-A(t)) = h(0) + sum of b(s) exp(-A(s)), s <= t.
    """
    total = np.cumsum(np.log(stays), axis=0)

    def sums(start, values):
        with np.errstate(divide="ignore"):
            terms = np.concatenate([np.log(start)[None], np.log(values) - total])
        return np.exp(total + np.logaddexp.accumulate(terms, axis=0)[1:])

    values = comes * what
    above = sums(np.maximum(h, 0), np.maximum(values, 0))
    below = sums(np.maximum(-h, 0), np.maximum(-values, 0))
    return above - below


def run_of(name, **options):
    """(what a form needs, the layer's outputs and final state) of one random run."""
    values, x = random_values(name), random_inputs(name, steps=T, batch=B)
    states = random_states(name, batch=B)
    output, final, _ = call(layer_of(name, values), x, states, **options)
    return (*gates(name, values, x["x"]), states["h"]), output, final["h"]


@pytest.mark.parametrize("form", [by_scan, by_logarithms])
@pytest.mark.parametrize("name", CELLS)
class TestForm:
    def test_is_the_loop_over_time_from_a_random_state(self, name, form):
        known, output, final = run_of(name)
        found = form(*known)
        np.testing.assert_allclose(output, found, rtol=0, atol=1e-10)
        np.testing.assert_allclose(final, found[-1], rtol=0, atol=1e-10)

    def test_is_the_loop_over_time_from_nothing(self, name, form):
        values, x = random_values(name, seed=5), random_inputs(name, steps=T, batch=B)
        output, _, _ = call(layer_of(name, values), x)
        found = form(*gates(name, values, x["x"]), np.zeros((B, H)))
        np.testing.assert_allclose(output, found, rtol=0, atol=1e-10)

    def test_ends_where_each_row_ends(self, name, form):
        lengths = [T, 1, 77]
        known, output, final = run_of(name, lengths=lengths)
        found = form(*known)
        for row, end in enumerate(lengths):
            np.testing.assert_allclose(output[:end, row], found[:end, row], rtol=0, atol=1e-10)
            np.testing.assert_allclose(final[row], found[end - 1, row], rtol=0, atol=1e-10)
            assert not output[end:, row].any()


@pytest.mark.parametrize("name", CELLS)
def test_what_is_left_of_the_first_state_is_the_product_of_what_stays(name):
    values, x = random_values(name), random_inputs(name, steps=20, batch=1)
    layer = layer_of(name, values)
    h = torch.ones(1, 1, H, dtype=torch.float64, requires_grad=True)
    _, final = layer(torch.from_numpy(x["x"]), h)
    (gradient,) = torch.autograd.grad(final.sum(), h)
    stays, _, _ = gates(name, values, x["x"])
    np.testing.assert_allclose(gradient[0].numpy(), stays.prod(axis=0), rtol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_two_chunks_are_one_run_when_the_state_is_handed_on(name):
    values, x = random_values(name), random_inputs(name, steps=T, batch=B)["x"]
    layer, cut = layer_of(name, values), T // 2
    whole, _, _ = call(layer, {"x": x})
    _, state, _ = call(layer, {"x": x[:cut]})
    second, _, _ = call(layer, {"x": x[cut:]}, state)
    np.testing.assert_allclose(second, whole[cut:], rtol=0, atol=1e-12)
    forgetful, _, _ = call(layer, {"x": x[cut:]})
    assert np.abs(forgetful - whole[cut:]).max() > 0.1, "where a chunk starts must be felt"
