"""Small cells that stand for what the catalogue will need, each with what it shows."""

from __future__ import annotations

import math

from gated.equations import (
    Cell,
    Family,
    R,
    U,
    V,
    W,
    absolute,
    b,
    exp,
    log,
    maximum,
    mean,
    minimum,
    normalize,
    p,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)

gain = Family("gain")


class Peephole(Cell):
    """Vectors on the cell state: i and f see the old c, o sees the new one."""

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + p.i * c + b.i)
        f = sigmoid(W.f @ x + U.f @ h + p.f * c + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        c = f * c + i * g
        o = sigmoid(W.o @ x + U.o @ h + p.o * c + b.o)
        h = o * tanh(c)
        return h, c


class FullGateRecurrence(Cell):
    """Five states: each gate also sees the last step's i, f and o (Greff 2015, FGR)."""

    name = "full-gate-recurrence"

    def step(self, x, h, c, i, f, o):
        i_prev, f_prev, o_prev = i, f, o
        i = sigmoid(
            W.i @ x + U.i @ h + p.i * c + b.i
            + R.i2i @ i_prev + R.f2i @ f_prev + R.o2i @ o_prev
        )  # fmt: skip
        f = sigmoid(
            W.f @ x + U.f @ h + p.f * c + b.f
            + R.i2f @ i_prev + R.f2f @ f_prev + R.o2f @ o_prev
        )  # fmt: skip
        g = tanh(W.g @ x + U.g @ h + b.g)
        c = f * c + i * g
        o = sigmoid(
            W.o @ x + U.o @ h + p.o * c + b.o
            + R.i2o @ i_prev + R.f2o @ f_prev + R.o2o @ o_prev
        )  # fmt: skip
        h = o * tanh(c)
        return h, c, i, f, o


class Mut1(Cell):
    """Two products in a row, and a gate without a recurrent product (Jozefowicz 2015)."""

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        n = tanh(U.n @ (r * h) + tanh(V.n @ x) + b.n)
        h = n * z + h * (1 - z)
        return h


class LayerNormLSTM(Cell):
    """Normalisation over the units, with a gain vector for each (Ba 2016)."""

    def step(self, x, h, c):
        i = sigmoid(gain.xi * normalize(W.i @ x) + gain.hi * normalize(U.i @ h) + b.i)
        f = sigmoid(gain.xf * normalize(W.f @ x) + gain.hf * normalize(U.f @ h) + b.f)
        g = tanh(gain.xg * normalize(W.g @ x) + gain.hg * normalize(U.g @ h) + b.g)
        o = sigmoid(gain.xo * normalize(W.o @ x) + gain.ho * normalize(U.o @ h) + b.o)
        c = f * c + i * g
        h = o * tanh(gain.c * normalize(c) + b.c)
        return h, c


class TimeGap(Cell):
    """An extra input of one unit: the time since the last step (after T-LSTM, Baytas 2017)."""

    inputs = {"x": "D", "delta": 1}

    def step(self, x, delta, h, c):
        c_s = tanh(W.d @ c + b.d)
        c_star = c - c_s + c_s / log(math.e + absolute(delta))
        i = sigmoid(V.i @ x + U.i @ h + b.i)
        f = sigmoid(V.f @ x + U.f @ h + b.f)
        g = tanh(V.g @ x + U.g @ h + b.g)
        c = f * c_star + i * g
        h = tanh(c)
        return h, c


class Masked(Cell):
    """Extra inputs and a state of size D: what was not seen decays (after GRU-D, Che 2016)."""

    inputs = {"x": "D", "mask": "D", "delta": "D"}
    sizes = {"seen": "D"}

    def step(self, x, mask, delta, h, seen):
        gamma_x = exp(-maximum(0, p.x * delta + b.x))
        gamma_h = exp(-maximum(0, V.h @ delta + b.h))
        seen = mask * x + (1 - mask) * (gamma_x * seen)
        h_hat = gamma_h * h
        z = sigmoid(W.z @ seen + U.z @ h_hat + V.z @ mask + b.z)
        n = tanh(W.n @ seen + U.n @ h_hat + b.n)
        h = (1 - z) * h_hat + z * n
        return h, seen


class Leaky(Cell):
    """Constants: a rate that a variant changes is a class attribute."""

    rate = 0.25

    def step(self, x, h):
        h = (1 - self.rate) * h + self.rate * tanh(W @ x + U @ h + b)
        return h


class LeakyFast(Leaky):
    """Inherits the step, overrides a constant."""

    rate = 0.75


class ScalarLSTM(Cell):
    """An initial value other than 0: the stabiliser m starts at -inf (sLSTM, Beck 2024)."""

    initial = {"m": float("-inf")}

    def step(self, x, h, c, n, m):
        z = tanh(W.z @ x + R.z @ h + b.z)
        o = sigmoid(W.o @ x + R.o @ h + b.o)
        i_tilde = W.i @ x + R.i @ h + b.i
        log_f = -softplus(-(W.f @ x + R.f @ h + b.f))
        m_prev = m
        m = maximum(log_f + m_prev, i_tilde)
        i = exp(i_tilde - m)
        f = exp(log_f + m_prev - m)
        c = f * c + i * z
        n = f * n + i
        h = o * c / n
        return h, c, n, m


class Projected(Cell):
    """A state of another size than H: h has P units, c has H."""

    sizes = {"h": "P"}

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        c = (1 - i) * c + i * tanh(W.g @ x + U.g @ h + b.g)
        h = R @ tanh(c)
        return h, c


class OneUnit(Cell):
    """A state of one unit beside one of H, and a mean over the units."""

    sizes = {"s": 1}

    def step(self, x, h, s):
        s = 0.5 * s + 0.5 * mean(absolute(h))
        h = tanh(W @ x + U @ h + b) / sqrt(1 + s)
        return h, s


class MinGRU(Cell):
    """Gates that see x alone: the state is linear (Feng 2024)."""

    name = "min-gru"

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        g = W.g @ x + b.g
        h = (1 - z) * h + z * g
        return h


class IndRNN(Cell):
    """A vector for U: each unit sees only itself."""

    def step(self, x, h):
        h = relu(W @ x + U * h + b)
        return h


class Clipped(Cell):
    """Nested extremes."""

    def step(self, x, h):
        h = maximum(-1, minimum(1, W @ x + U @ h + b))
        return h


SMALL = [
    Peephole,
    FullGateRecurrence,
    Mut1,
    LayerNormLSTM,
    TimeGap,
    Masked,
    Leaky,
    LeakyFast,
    ScalarLSTM,
    Projected,
    OneUnit,
    MinGRU,
    IndRNN,
    Clipped,
]
