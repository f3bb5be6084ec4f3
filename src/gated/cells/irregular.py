"""Cells for sequences with gaps: values that are missing, and steps of unequal length."""

import math

from gated.equations import (
    Cell,
    Family,
    U,
    V,
    W,
    b,
    exp,
    log,
    maximum,
    select,
    sigmoid,
    tanh,
)

W_gamma = Family("W_gamma", latex=r"W^{\gamma}")
b_gamma = Family("b_gamma", latex=r"b^{\gamma}", bias=True)
x_mean = Family("x_mean", latex=r"\tilde{x}", start=0.0)
W_d = Family("W_d", latex="W_d")
b_d = Family("b_d", latex="b_d", bias=True)


class GRUD(Cell):
    """The GRU with decay: what is missing decays from the last value seen towards the mean.

    `mask` (D) is 1 where x is observed, 0 where it is missing: x may be NaN there. `delta` (D) is
    the time since each variable was last observed, >= 0. x_last carries the last observations;
    until the first it is its initial state, 0.

    x_mean is the paper's empirical mean of each variable. It starts at 0, which is right for
    standardised data; else set it once and freeze it, as the paper does:
    `layer.x_mean_l0.requires_grad_(False).copy_(means)`.

    The reset acts before the product, and z near 1 takes the new value, both as in the paper: with
    nothing missing, no gaps, V = 0 and the decay's biases 0 it is `gru-reset-before` with z and
    1 - z swapped.
    """

    name = "gru-d"
    inputs = {"x": "D", "mask": "D", "delta": "D"}
    sizes = {"x_last": "D"}
    source = (
        "Z. Che, S. Purushotham, K. Cho, D. Sontag, Y. Liu, Recurrent neural networks for "
        "multivariate time series with missing values, arXiv:1606.01865 (2016), Scientific "
        "Reports 8 (2018), 6085"
    )
    renames = {"mask": "m", "delta": "δ", "x_mean": "x̃", "x_last": "x_{t'}", "n": "h̃"}

    def step(self, x, mask, delta, h, x_last):
        gamma_x = exp(-maximum(0, W_gamma.x * delta + b_gamma.x))
        gamma_h = exp(-maximum(0, W_gamma.h @ delta + b_gamma.h))
        x_hat = select(mask, x, gamma_x * x_last + (1 - gamma_x) * x_mean)
        x_last = select(mask, x, x_last)
        h_hat = gamma_h * h
        r = sigmoid(W.r @ x_hat + U.r @ h_hat + V.r @ mask + b.r)
        z = sigmoid(W.z @ x_hat + U.z @ h_hat + V.z @ mask + b.z)
        n = tanh(W.n @ x_hat + U.n @ (r * h_hat) + V.n @ mask + b.n)
        h = (1 - z) * h_hat + z * n
        return h, x_last


class TLSTM(Cell):
    """The time-aware LSTM: the short-term part of c is discounted by the time since the last step.

    `delta` (1) is that time, >= 0. The discount, `decay`, is the paper's 1 / log(e + delta), meant
    for long gaps; for short ones it takes 1 / delta: a subclass with
    `where = {"decay": lambda delta: 1 / delta}`. The paper's tanh in c_s is taken, where the
    authors' program for supervised tasks has a sigmoid.
    """

    name = "t-lstm"
    inputs = {"x": "D", "delta": 1}
    source = (
        "I. M. Baytas, C. Xiao, X. Zhang, F. Wang, A. K. Jain, J. Zhou, Patient subtyping via "
        "time-aware LSTM networks, KDD 2017"
    )
    renames = {"g": "C̃", "c_s": "C^S", "c_star": "C^*", "decay": "g(Δt)", "delta": "Δt"}

    def step(self, x, delta, h, c):
        decay = 1 / log(math.e + delta)
        c_s = tanh(W_d @ c + b_d)
        c_star = c - c_s + c_s * decay
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c_star + i * g
        h = o * tanh(c)
        return h, c
