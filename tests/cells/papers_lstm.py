"""The LSTMs among the cells of `papers.py`."""

import numpy as np
from numpy import exp, log, maximum, tanh
from paper_loop import normalised, paper, sigmoid

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


def greff(
    x, s, p, without=(), peepholes="ifo", linear_input=False, linear_output=False, coupled=False
):
    """The peephole LSTM; `without` names the gates held at 1, `peepholes` those that see c."""
    W, U, b = p["W"], p["U"], p["b"]

    def before(gate, c):
        a = W[gate] @ x + U[gate] @ s["h"] + b[gate]
        return a + p["p"][gate] * c if gate in peepholes else a

    one = np.ones_like(s["c"])
    i = one if "i" in without else sigmoid(before("i", s["c"]))
    if coupled:
        f = 1 - i
    elif "f" in without:
        f = one
    else:
        f = sigmoid(before("f", s["c"]))
    g = before("g", s["c"])
    g = g if linear_input else tanh(g)
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
    return greff(x, s, p, peepholes="")


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


# --- Ba, Kiros & Hinton 2016, equations 20 to 22


@paper("layernorm-lstm", "h", "c")
def layernorm_lstm(x, s, p):
    """Each product is normalised over all four gates at once; the carried c is the raw one."""
    order = ("i", "f", "g", "o")
    H = s["c"].shape[0]
    product_x = np.concatenate([p["W"][k] @ x for k in order])
    product_h = np.concatenate([p["U"][k] @ s["h"] for k in order])
    of_x, of_h = normalised(product_x), normalised(product_h)
    a, shown = {}, {}
    for n, k in enumerate(order):
        rows = slice(n * H, (n + 1) * H)
        a[k] = p["gain_x"][k] * of_x[rows] + p["gain_h"][k] * of_h[rows] + p["b"][k]
        shown |= {f"a_{k}": product_x[rows], f"u_{k}": product_h[rows]}
    for letter, product in (("a", product_x), ("u", product_h)):
        shown |= {f"m_{letter}": product.mean(), f"s_{letter}": np.sqrt(product.var() + 1e-5)}
    i, f, g, o = sigmoid(a["i"]), sigmoid(a["f"]), tanh(a["g"]), sigmoid(a["o"])
    c = f * s["c"] + i * g
    h = o * tanh(p["gain_c"]["c"] * normalised(c) + p["b"]["c"])
    return {**shown, "i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


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
    shown = {"i_tilde": i_, "f_tilde": f_, "logf": log_f}
    return {**shown, "z": z, "o": o, "m": m, "i": i, "f": f, "c": c, "n": n, "h": o * (c / n)}


# --- Baytas et al. 2017


@paper("t-lstm", "h", "c")
def t_lstm(x, s, p, delta):
    """The short-term part of c is discounted by the time that passed; the rest stays."""
    c_short = tanh(p["W_d"]["c"] @ s["c"] + p["b_d"]["c"])
    decay = 1 / log(np.e + delta)
    c_long = s["c"] - c_short
    c_before = c_long + c_short * decay
    i, f, o, g = four(x, s["h"], p)
    c = f * c_before + i * g
    shown = {"decay": decay, "c_s": c_short, "c_star": c_before}
    return {**shown, "i": i, "f": f, "o": o, "g": g, "c": c, "h": o * tanh(c)}
