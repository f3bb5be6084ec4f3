"""What the language must carry, cell by cell, against computations written by hand in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from equation_numerics import SIZES, run
from small_cells import (
    Clipped,
    LayerNormLSTM,
    Leaky,
    LeakyFast,
    OneUnit,
    Projected,
)

from gated.cells.xlstm import SLSTM
from gated.equations import Cell

H, D, P = SIZES["H"], SIZES["D"], SIZES["P"]
STEPS = 6


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def norm(v):
    return (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)


def layer_norm_lstm(w, r, h, c):
    def summed(k):
        from_x = w["gain.x" + k] * norm(w["W." + k] @ r["x"])
        return from_x + w["gain.h" + k] * norm(w["U." + k] @ h) + w["b." + k]

    new = sigmoid(summed("f")) * c + sigmoid(summed("i")) * np.tanh(summed("g"))
    return sigmoid(summed("o")) * np.tanh(w["gain.c"] * norm(new) + w["b.c"]), new


def leaky(rate):
    def step(w, r, h):
        return (h + rate * (np.tanh(w["W"] @ r["x"] + w["U"] @ h + w["b"]) - h),)

    return step


def projected(w, r, h, c):
    i = sigmoid(w["W.i"] @ r["x"] + w["U.i"] @ h + w["b.i"])
    c = c + i * (np.tanh(w["W.g"] @ r["x"] + w["U.g"] @ h + w["b.g"]) - c)
    return w["R"] @ np.tanh(c), c


def one_unit(w, r, h, s):
    s = (s + np.abs(h).mean(keepdims=True)) / 2
    return np.tanh(w["W"] @ r["x"] + w["U"] @ h + w["b"]) / np.sqrt(1 + s), s


def clipped(w, r, h):
    return (np.clip(w["W"] @ r["x"] + w["U"] @ h + w["b"], -1, 1),)


BY_HAND = [
    (LayerNormLSTM, layer_norm_lstm),
    (Leaky, leaky(0.25)),
    (LeakyFast, leaky(0.75)),
    (Projected, projected),
    (OneUnit, one_unit),
    (Clipped, clipped),
]


@pytest.mark.parametrize(("cls", "by_hand"), BY_HAND, ids=lambda v: getattr(v, "__name__", ""))
def test_the_cell_computes_what_was_written_by_hand(cls, by_hand):
    cell: Cell = cls()
    records, weights = run(cell, STEPS)
    states = [np.full(SIZES.get(s.size, s.size), s.initial) for s in cell.states]
    for t, record in enumerate(records):
        states = by_hand(weights, record, *states)
        for state, expected in zip(cell.states, states, strict=True):
            np.testing.assert_allclose(
                record[state.name], expected, rtol=1e-10, atol=1e-12, err_msg=f"{state.name} at {t}"
            )


def test_every_named_value_has_the_shape_it_declares():
    for cls, _ in BY_HAND:
        cell = cls()
        records, _ = run(cell, 1)
        for name, node in cell.graph.equations.items():
            size = node.shape[0].value
            assert records[0][name].shape == (SIZES.get(size, size),), f"{cell.name}: {name}"


def test_the_stabiliser_starts_at_minus_infinity_and_leaves_no_nan():
    assert SLSTM().states[-1].initial == float("-inf")
    records, _ = run(SLSTM(), 3)
    assert all(np.isfinite(value).all() for record in records for value in record.values())
    # the first step sees nothing of the past: m is the input gate's argument, n is 1
    np.testing.assert_array_equal(records[0]["m"], records[0]["i_tilde"])
    np.testing.assert_array_equal(records[0]["n"], np.ones(H))
