"""What the language must carry, cell by cell, against computations written by hand in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from equation_numerics import SIZES, run
from small_cells import (
    Clipped,
    FullGateRecurrence,
    IndRNN,
    LayerNormLSTM,
    Leaky,
    LeakyFast,
    Masked,
    MinGRU,
    Mut1,
    OneUnit,
    Peephole,
    Projected,
    ScalarLSTM,
    TimeGap,
)

from gated.equations import Cell

H, D, P = SIZES["H"], SIZES["D"], SIZES["P"]
STEPS = 6


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def norm(v):
    return (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)


def peephole(w, r, h, c):
    x = r["x"]
    i = sigmoid(w["W.i"] @ x + w["U.i"] @ h + w["b.i"] + w["p.i"] * c)
    f = sigmoid(w["W.f"] @ x + w["U.f"] @ h + w["b.f"] + w["p.f"] * c)
    new = f * c + i * np.tanh(w["W.g"] @ x + w["U.g"] @ h + w["b.g"])
    o = sigmoid(w["W.o"] @ x + w["U.o"] @ h + w["b.o"] + w["p.o"] * new)
    return o * np.tanh(new), new


def full_gate_recurrence(w, r, h, c, i, f, o):
    x = r["x"]

    def gate(k, cell):
        seen = w["W." + k] @ x + w["U." + k] @ h + w["b." + k] + w["p." + k] * cell
        last = {"i": i, "f": f, "o": o}
        return sigmoid(seen + sum(w[f"R.{q}2{k}"] @ value for q, value in last.items()))

    new_i, new_f = gate("i", c), gate("f", c)
    new_c = new_f * c + new_i * np.tanh(w["W.g"] @ x + w["U.g"] @ h + w["b.g"])
    new_o = gate("o", new_c)
    return new_o * np.tanh(new_c), new_c, new_i, new_f, new_o


def mut1(w, r, h):
    x = r["x"]
    z = sigmoid(w["W.z"] @ x + w["b.z"])
    reset = sigmoid(w["W.r"] @ x + w["U.r"] @ h + w["b.r"])
    n = np.tanh(w["U.n"] @ (reset * h) + np.tanh(w["V.n"] @ x) + w["b.n"])
    return (n * z + h * (1 - z),)


def layer_norm_lstm(w, r, h, c):
    def summed(k):
        from_x = w["gain.x" + k] * norm(w["W." + k] @ r["x"])
        return from_x + w["gain.h" + k] * norm(w["U." + k] @ h) + w["b." + k]

    new = sigmoid(summed("f")) * c + sigmoid(summed("i")) * np.tanh(summed("g"))
    return sigmoid(summed("o")) * np.tanh(w["gain.c"] * norm(new) + w["b.c"]), new


def time_gap(w, r, h, c):
    x, gap = r["x"], abs(r["delta"].item())
    short = np.tanh(w["W.d"] @ c + w["b.d"])
    adjusted = (c - short) + short / math.log(math.e + gap)
    i = sigmoid(w["V.i"] @ x + w["U.i"] @ h + w["b.i"])
    f = sigmoid(w["V.f"] @ x + w["U.f"] @ h + w["b.f"])
    new = f * adjusted + i * np.tanh(w["V.g"] @ x + w["U.g"] @ h + w["b.g"])
    return np.tanh(new), new


def masked(w, r, h, seen):
    mask = r["mask"]
    decay_x = np.exp(-np.clip(w["p.x"] * r["delta"] + w["b.x"], 0, None))
    decay_h = np.exp(-np.clip(w["V.h"] @ r["delta"] + w["b.h"], 0, None))
    seen = mask * r["x"] + (1 - mask) * decay_x * seen
    h = decay_h * h
    z = sigmoid(w["W.z"] @ seen + w["U.z"] @ h + w["V.z"] @ mask + w["b.z"])
    n = np.tanh(w["W.n"] @ seen + w["U.n"] @ h + w["b.n"])
    return h + z * (n - h), seen


def leaky(rate):
    def step(w, r, h):
        return (h + rate * (np.tanh(w["W"] @ r["x"] + w["U"] @ h + w["b"]) - h),)

    return step


def scalar_lstm(w, r, h, c, n, m):
    """The sLSTM without its stabiliser: m is what it would be, c and n are scaled by exp(-m)."""

    def summed(k):
        return w["W." + k] @ r["x"] + w["R." + k] @ h + w["b." + k]

    scale = np.exp(m)  # 0 before the first step
    i, f = np.exp(summed("i")), sigmoid(summed("f"))
    raw_c = f * c * scale + i * np.tanh(summed("z"))
    raw_n = f * n * scale + i
    m = np.maximum(np.log(f) + m, summed("i"))
    h = sigmoid(summed("o")) * raw_c / raw_n
    return h, raw_c * np.exp(-m), raw_n * np.exp(-m), m


def projected(w, r, h, c):
    i = sigmoid(w["W.i"] @ r["x"] + w["U.i"] @ h + w["b.i"])
    c = c + i * (np.tanh(w["W.g"] @ r["x"] + w["U.g"] @ h + w["b.g"]) - c)
    return w["R"] @ np.tanh(c), c


def one_unit(w, r, h, s):
    s = (s + np.abs(h).mean(keepdims=True)) / 2
    return np.tanh(w["W"] @ r["x"] + w["U"] @ h + w["b"]) / np.sqrt(1 + s), s


def min_gru(w, r, h):
    z = sigmoid(w["W.z"] @ r["x"] + w["b.z"])
    return (h + z * (w["W.g"] @ r["x"] + w["b.g"] - h),)


def ind_rnn(w, r, h):
    return (np.clip(w["W"] @ r["x"] + w["U"] * h + w["b"], 0, None),)


def clipped(w, r, h):
    return (np.clip(w["W"] @ r["x"] + w["U"] @ h + w["b"], -1, 1),)


BY_HAND = [
    (Peephole, peephole),
    (FullGateRecurrence, full_gate_recurrence),
    (Mut1, mut1),
    (LayerNormLSTM, layer_norm_lstm),
    (TimeGap, time_gap),
    (Masked, masked),
    (Leaky, leaky(0.25)),
    (LeakyFast, leaky(0.75)),
    (ScalarLSTM, scalar_lstm),
    (Projected, projected),
    (OneUnit, one_unit),
    (MinGRU, min_gru),
    (IndRNN, ind_rnn),
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
    assert ScalarLSTM().states[-1].initial == float("-inf")
    records, _ = run(ScalarLSTM(), 3)
    assert all(np.isfinite(value).all() for record in records for value in record.values())
    # the first step sees nothing of the past: m is the input gate's argument, n is 1
    np.testing.assert_array_equal(records[0]["m"], records[0]["i_tilde"])
    np.testing.assert_array_equal(records[0]["n"], np.ones(H))
