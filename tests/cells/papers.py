"""Every cell of the catalogue once more: one step in plain NumPy, written from the papers.

Nothing here imports gated. A step is a function of one row: the input vector `x`, the previous
states `s` by name, the parameters `p` by letter and subscript, and further inputs by name. It
returns every value that has a name, the new states among them. `run` holds the loops over batch
and time. Written before the catalogue's own equations were read, so that a slip would have to be
made twice to go unnoticed; afterwards only names were added for what the catalogue also shows.
"""

import numpy as np
import papers_lstm  # enters the LSTMs
from numpy import exp, log, maximum, tanh
from paper_loop import PAPERS, paper, relu, run, sigmoid

__all__ = ["PAPERS", "papers_lstm", "run"]


# --- Elman


@paper("rnn", "h")
def rnn(x, s, p):
    W, U, b = p["W"], p["U"], p["b"]
    return {"h": tanh(W["h"] @ x + U["h"] @ s["h"] + b["h"])}


@paper("rnn-relu", "h")
def rnn_relu(x, s, p):
    W, U, b = p["W"], p["U"], p["b"]
    return {"h": relu(W["h"] @ x + U["h"] @ s["h"] + b["h"])}


# --- Cho et al. 2014, and the reset gate after the product (cuDNN, PyTorch)


@paper("gru", "h")
def gru(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    r = sigmoid(W["r"] @ x + U["r"] @ h + b["r"])
    z = sigmoid(W["z"] @ x + U["z"] @ h + b["z"])
    n = tanh(W["n"] @ x + b["n"] + r * (U["n"] @ h + p["b'"]["n"]))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


@paper("gru-reset-before", "h")
def gru_reset_before(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    r = sigmoid(W["r"] @ x + U["r"] @ h + b["r"])
    z = sigmoid(W["z"] @ x + U["z"] @ h + b["z"])
    n = tanh(W["n"] @ x + U["n"] @ (r * h) + b["n"])
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


# --- Jozefowicz, Zaremba & Sutskever 2015; a bare x of theirs is a product W x here


@paper("mut1", "h")
def mut1(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    z = sigmoid(W["z"] @ x + b["z"])
    r = sigmoid(W["r"] @ x + U["r"] @ h + b["r"])
    n = tanh(U["n"] @ (r * h) + tanh(W["n"] @ x) + b["n"])
    return {"z": z, "r": r, "n": n, "h": n * z + h * (1 - z)}


@paper("mut2", "h")
def mut2(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    z = sigmoid(W["z"] @ x + U["z"] @ h + b["z"])
    r = sigmoid(W["r"] @ x + U["r"] @ h + b["r"])
    n = tanh(U["n"] @ (r * h) + W["n"] @ x + b["n"])
    return {"z": z, "r": r, "n": n, "h": n * z + h * (1 - z)}


@paper("mut3", "h")
def mut3(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    z = sigmoid(W["z"] @ x + U["z"] @ tanh(h) + b["z"])
    r = sigmoid(W["r"] @ x + U["r"] @ h + b["r"])
    n = tanh(U["n"] @ (r * h) + W["n"] @ x + b["n"])
    return {"z": z, "r": r, "n": n, "h": n * z + h * (1 - z)}


# --- Li et al. 2018 (IndRNN), Feng et al. 2024 (minLSTM, minGRU), Lei et al. 2018 (SRU)


@paper("indrnn", "h")
def indrnn(x, s, p):
    return {"h": relu(p["W"]["h"] @ x + p["u"]["h"] * s["h"] + p["b"]["h"])}


@paper("minlstm", "h")
def minlstm(x, s, p):
    W, b = p["W"], p["b"]
    f_hat, i_hat = W["f"] @ x + b["f"], W["i"] @ x + b["i"]
    f, i = sigmoid(f_hat), sigmoid(i_hat)
    g = W["g"] @ x + b["g"]
    f, i, d = f / (f + i), i / (f + i), log(i / f)
    h = f * s["h"] + i * g
    return {"f_hat": f_hat, "i_hat": i_hat, "d": d, "f": f, "i": i, "g": g, "h": h}


@paper("mingru", "h")
def mingru(x, s, p):
    W, b = p["W"], p["b"]
    z = sigmoid(W["z"] @ x + b["z"])
    g = W["g"] @ x + b["g"]
    return {"z": z, "g": g, "h": (1 - z) * s["h"] + z * g}


@paper("sru", "h", "c")
def sru(x, s, p):
    """The highway carries a projection of x of its own, as the paper does where D is not H."""
    W, v, b = p["W"], p["v"], p["b"]
    f = sigmoid(W["f"] @ x + v["f"] * s["c"] + b["f"])
    r = sigmoid(W["r"] @ x + v["r"] * s["c"] + b["r"])
    g = W["c"] @ x
    c = f * s["c"] + (1 - f) * g
    return {"f": f, "r": r, "g": g, "c": c, "h": r * c + (1 - r) * (W["h"] @ x)}


# --- Che et al. 2016


@paper("gru-d", "h", "x_last")
def gru_d(x, s, p, mask, delta):
    """x where the mask is 1; elsewhere its last value, decaying to the mean."""
    W, U, V, b = p["W"], p["U"], p["V"], p["b"]
    gamma_x = exp(-maximum(0, p["w_gamma"]["x"] * delta + p["b_gamma"]["x"]))
    gamma_h = exp(-maximum(0, p["W_gamma"]["h"] @ delta + p["b_gamma"]["h"]))
    seen = mask > 0
    held = gamma_x * s["x_last"] + (1 - gamma_x) * p["x_mean"]["x"]
    x_hat = np.where(seen, x, held)
    h = gamma_h * s["h"]
    z = sigmoid(W["z"] @ x_hat + U["z"] @ h + V["z"] @ mask + b["z"])
    r = sigmoid(W["r"] @ x_hat + U["r"] @ h + V["r"] @ mask + b["r"])
    n = tanh(W["n"] @ x_hat + U["n"] @ (r * h) + V["n"] @ mask + b["n"])
    shown = {"gamma_x": gamma_x, "gamma_h": gamma_h, "x_hat": x_hat, "h_hat": h}
    x_last = np.where(seen, x, s["x_last"])
    return {**shown, "z": z, "r": r, "n": n, "h": (1 - z) * h + z * n, "x_last": x_last}
