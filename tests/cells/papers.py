"""Every cell of the catalogue once more: one step in plain NumPy, written from the papers.

Nothing here imports gated. A step is a function of one row: the input vector ``x``, the previous
states ``s`` by name, the parameters ``p`` by letter and subscript, and further inputs by name. It
returns every value the paper names, the new states among them. `run` holds the loops over batch
and time. Written before the catalogue's own equations were read, so that a slip would have to be
made twice to go unnoticed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import exp, log, maximum, tanh

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Paper:
    """One cell: its step, the order of its states, and where a state starts if not at zero."""

    step: Callable[..., Values]
    states: tuple[str, ...]
    start: dict[str, float] = dataclasses.field(default_factory=dict)


PAPERS: dict[str, Paper] = {}


def paper(name, *states, **start):
    """Enter the function below under ``name``."""

    def enter(step):
        PAPERS[name] = Paper(step, states, start)
        return step

    return enter


def run(name, xs, start, p, **inputs):
    """The values of every step: dict of name to array (T, B, ...).

    ``xs``: (T, B, D). ``start``: the states before the first step, by name, (B, H).
    ``inputs``: further inputs, (T, B, ...) each.
    """
    cell = PAPERS[name]
    T, B, _ = xs.shape
    rows = []
    for row in range(B):
        s = {key: start[key][row] for key in cell.states}
        steps = []
        for t in range(T):
            now = cell.step(xs[t, row], s, p, **{k: v[t, row] for k, v in inputs.items()})
            s = {key: now[key] for key in cell.states}
            steps.append(now)
        rows.append(steps)
    return {
        key: np.stack([np.stack([rows[row][t][key] for row in range(B)]) for t in range(T)])
        for key in rows[0][0]
    }


def sigmoid(a):
    return 1 / (1 + exp(-a))


def relu(a):
    return maximum(a, 0.0)


def normalised(a):
    """Mean 0, variance 1 over the vector (variance over N, not N - 1); Ba 2016, equation 4."""
    return (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5)


# --- Elman


@paper("rnn", "h")
def rnn(x, s, p):
    W, U, b = p["W"], p["U"], p["b"]
    return {"h": tanh(W["h"] @ x + U["h"] @ s["h"] + b["h"])}


@paper("rnn-relu", "h")
def rnn_relu(x, s, p):
    W, U, b = p["W"], p["U"], p["b"]
    return {"h": relu(W["h"] @ x + U["h"] @ s["h"] + b["h"])}


# --- Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000; Sak 2014


@paper("lstm-1997", "h", "c")
def lstm_1997(x, s, p):
    W, U, b = p["W"], p["U"], p["b"]
    i = sigmoid(W["i"] @ x + U["i"] @ s["h"] + b["i"])
    o = sigmoid(W["o"] @ x + U["o"] @ s["h"] + b["o"])
    g = tanh(W["g"] @ x + U["g"] @ s["h"] + b["g"])
    c = s["c"] + i * g
    return {"i": i, "o": o, "g": g, "c": c, "h": o * tanh(c)}


def four(x, h, p):
    """i, f, o and g of the LSTM without peepholes, from input and output."""
    W, U, b = p["W"], p["U"], p["b"]
    i = sigmoid(W["i"] @ x + U["i"] @ h + b["i"])
    f = sigmoid(W["f"] @ x + U["f"] @ h + b["f"])
    o = sigmoid(W["o"] @ x + U["o"] @ h + b["o"])
    g = tanh(W["g"] @ x + U["g"] @ h + b["g"])
    return i, f, o, g


@paper("lstm", "h", "c")
def lstm(x, s, p):
    i, f, o, g = four(x, s["h"], p)
    c = f * s["c"] + i * g
    return {"i": i, "f": f, "o": o, "g": g, "c": c, "h": o * tanh(c)}


@paper("lstmp", "h", "c")
def lstmp(x, s, p):
    i, f, o, g = four(x, s["h"], p)
    c = f * s["c"] + i * g
    return {"i": i, "f": f, "o": o, "g": g, "c": c, "h": p["W"]["p"] @ (o * tanh(c))}


# --- Gers & Schmidhuber 2000 and the eight variants of Greff et al. 2015


def greff(x, s, p, without=(), linear_input=False, linear_output=False, coupled=False):
    """The peephole LSTM; ``without`` names the gates held at 1."""
    W, U, b, peep = p["W"], p["U"], p["b"], p.get("p", {})

    def before(gate, c):
        a = W[gate] @ x + U[gate] @ s["h"] + b[gate]
        return a + peep[gate] * c if gate in peep else a

    one = np.ones_like(s["c"])
    i = one if "i" in without else sigmoid(before("i", s["c"]))
    if coupled:
        f = 1 - i
    else:
        f = one if "f" in without else sigmoid(before("f", s["c"]))
    g = before("g", s["c"])
    if not linear_input:
        g = tanh(g)
    c = f * s["c"] + i * g
    o = one if "o" in without else sigmoid(before("o", c))
    h = o * (c if linear_output else tanh(c))
    return {"i": i, "f": f, "g": g, "c": c, "o": o, "h": h}


@paper("peephole", "h", "c")
def peephole(x, s, p):
    return greff(x, s, p)


@paper("nig", "h", "c")
def nig(x, s, p):
    return greff(x, s, p, without=("i",))


@paper("nfg", "h", "c")
def nfg(x, s, p):
    return greff(x, s, p, without=("f",))


@paper("nog", "h", "c")
def nog(x, s, p):
    return greff(x, s, p, without=("o",))


@paper("niaf", "h", "c")
def niaf(x, s, p):
    return greff(x, s, p, linear_input=True)


@paper("noaf", "h", "c")
def noaf(x, s, p):
    return greff(x, s, p, linear_output=True)


@paper("np", "h", "c")
def no_peepholes(x, s, p):
    return greff(x, s, {letter: p[letter] for letter in ("W", "U", "b")})


@paper("cifg", "h", "c")
def cifg(x, s, p):
    return greff(x, s, p, coupled=True)


@paper("fgr", "h", "c", "i", "f", "o")
def fgr(x, s, p):
    """Nine more matrices; R["fi"] leads from the previous f into i, as the paper writes them."""
    W, U, b, peep, R = p["W"], p["U"], p["b"], p["p"], p["R"]

    def before(gate, c):
        gates = sum(R[source + gate] @ s[source] for source in "ifo")
        return W[gate] @ x + U[gate] @ s["h"] + peep[gate] * c + gates + b[gate]

    i = sigmoid(before("i", s["c"]))
    f = sigmoid(before("f", s["c"]))
    g = tanh(W["g"] @ x + U["g"] @ s["h"] + b["g"])
    c = f * s["c"] + i * g
    o = sigmoid(before("o", c))
    return {"i": i, "f": f, "g": g, "c": c, "o": o, "h": o * tanh(c)}


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


# --- Ba, Kiros & Hinton 2016, equations 20 to 22


@paper("layernorm-lstm", "h", "c")
def layernorm_lstm(x, s, p):
    """Each product is normalised over all four gates at once; the carried c is the raw one."""
    order = ("i", "f", "g", "o")
    H = s["c"].shape[0]
    of_x = normalised(np.concatenate([p["W"][k] @ x for k in order]))
    of_h = normalised(np.concatenate([p["U"][k] @ s["h"] for k in order]))
    a = {}
    for n, k in enumerate(order):
        rows = slice(n * H, (n + 1) * H)
        a[k] = p["gain_x"][k] * of_x[rows] + p["gain_h"][k] * of_h[rows] + p["b"][k]
    i, f, g, o = sigmoid(a["i"]), sigmoid(a["f"]), tanh(a["g"]), sigmoid(a["o"])
    c = f * s["c"] + i * g
    h = o * tanh(p["gain_c"]["c"] * normalised(c) + p["b"]["c"])
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


# --- Li et al. 2018 (IndRNN), Feng et al. 2024 (minLSTM, minGRU), Lei et al. 2018 (SRU)


@paper("indrnn", "h")
def indrnn(x, s, p):
    return {"h": relu(p["W"]["h"] @ x + p["u"]["h"] * s["h"] + p["b"]["h"])}


@paper("minlstm", "h")
def minlstm(x, s, p):
    W, b = p["W"], p["b"]
    f = sigmoid(W["f"] @ x + b["f"])
    i = sigmoid(W["i"] @ x + b["i"])
    g = W["g"] @ x + b["g"]
    f_, i_ = f / (f + i), i / (f + i)
    return {"f": f, "i": i, "g": g, "f'": f_, "i'": i_, "h": f_ * s["h"] + i_ * g}


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
    c = f * s["c"] + (1 - f) * (W["c"] @ x)
    return {"f": f, "r": r, "c": c, "h": r * c + (1 - r) * (W["h"] @ x)}


# --- Beck et al. 2024, equations 8 to 17: sigmoid forget gate, stabilised by m


@paper("slstm", "h", "c", "n", "m", m=-np.inf)
def slstm(x, s, p):
    W, U, b, h = p["W"], p["U"], p["b"], s["h"]
    i_ = W["i"] @ x + U["i"] @ h + b["i"]
    f_ = W["f"] @ x + U["f"] @ h + b["f"]
    z = tanh(W["z"] @ x + U["z"] @ h + b["z"])
    o = sigmoid(W["o"] @ x + U["o"] @ h + b["o"])
    log_f = log(sigmoid(f_))
    m = maximum(log_f + s["m"], i_)
    i = exp(i_ - m)
    f = exp(log_f + s["m"] - m)
    c = f * s["c"] + i * z
    n = f * s["n"] + i
    return {"z": z, "o": o, "m": m, "i": i, "f": f, "c": c, "n": n, "h": o * (c / n)}


# --- Che et al. 2016 (GRU-D) and Baytas et al. 2017 (T-LSTM)


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
    return {
        "z": z,
        "r": r,
        "n": n,
        "h": (1 - z) * h + z * n,
        "x_last": np.where(seen, x, s["x_last"]),
    }


@paper("t-lstm", "h", "c")
def t_lstm(x, s, p, delta):
    """The short-term part of c is discounted by the time that passed; the rest stays."""
    c_short = tanh(p["W_d"]["c"] @ s["c"] + p["b_d"]["c"])
    c_long = s["c"] - c_short
    c_before = c_long + c_short / log(np.e + delta)
    i, f, o, g = four(x, s["h"], p)
    c = f * c_before + i * g
    return {"i": i, "f": f, "o": o, "g": g, "c": c, "h": o * tanh(c)}
