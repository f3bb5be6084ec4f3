"""What keeps the memory of each cell, written down from the papers, and cells of one's own."""

from __future__ import annotations

import math

from gated.equations import Cell, Family, U, W, b, b_h, exp, maximum, sigmoid, tanh

# From the papers: the bias of the gate that keeps the memory, and its sign where it does so.
KEPT_BY = {
    # c = f c₋ + ...: Gers 2000 and what is built on it
    **dict.fromkeys(["lstm", "lstmp", "peephole", "nig", "nog", "niaf", "noaf", "np", "fgr"],
                    ("b.f", 1)),
    **dict.fromkeys(["layernorm-lstm", "sru", "t-lstm", "slstm", "minlstm"], ("b.f", 1)),
    # f = 1 - i
    "cifg": ("b.i", -1),
    # h = z h₋ + (1 - z) n, as PyTorch and Cho 2014 write it
    "gru": ("b.z", 1), "gru-reset-before": ("b.z", 1),
    # h = (1 - z) h₋ + z n
    **dict.fromkeys(["mut1", "mut2", "mut3", "mingru", "gru-d"], ("b.z", -1)),
}  # fmt: skip
# gates that write into the memory and are no function of the one that keeps it
WRITTEN_BY = dict.fromkeys(
    ["lstm", "lstmp", "peephole", "nog", "niaf", "noaf", "np", "fgr", "layernorm-lstm", "t-lstm",
     "slstm", "minlstm"],
    "b.i",
)  # fmt: skip
IN_H = ["gru", "gru-reset-before", "mut1", "mut2", "mut3", "mingru", "gru-d", "minlstm"]
# why a cell has no such bias
NOT_KEPT = {
    "rnn": "keeps no state by a factor",
    "rnn-relu": "keeps no state by a factor",
    "indrnn": "keeps no state by a factor",  # U is a weight
    "lstm-1997": "keeps c by a factor that no bias moves",  # c = c₋ + ...
    "nfg": "keeps c by a factor that no bias moves",
}


def memory_of(name: str) -> str:
    """The state that is kept."""
    return "h" if name in IN_H else "c"


gain = Family("gain", start=2.0)


class Coupled(Cell):
    """Gates without names, those that keep and write being open where they are shut elsewhere."""

    def step(self, x, c):
        c = -(tanh(W.b @ x) * (1 - sigmoid(b.b))) / 2 + (1 - sigmoid(W.a @ x + U.a @ c + b.a)) * c
        return c


class Doubled(Cell):
    """Two biases in one gate, as cuDNN has them."""

    def step(self, x, c):
        f = sigmoid(W.f @ x + b.f + U.f @ c + b_h.f)
        i = sigmoid(W.i @ x - b.i + U.i @ c + b_h.i)
        c = f * c + i * tanh(W.g @ x + b.g)
        return c


class Scaled(Cell):
    """A gate whose bias is scaled by a gain."""

    def step(self, x, c):
        f = sigmoid(gain.f * (W.f @ x + U.f @ c + b.f))
        c = f * c + tanh(W.g @ x + b.g)
        return c


class Exponential(Cell):
    """The sLSTM with an exponential forget gate (Beck 2024, equation 15)."""

    initial = {"m": -math.inf}

    def step(self, x, h, c, n, m):
        z = tanh(W.z @ x + U.z @ h + b.z)
        i_tilde = W.i @ x + U.i @ h + b.i
        f_tilde = W.f @ x + U.f @ h + b.f
        m_old = m
        m = maximum(f_tilde + m_old, i_tilde)
        i = exp(i_tilde - m)
        f = exp(f_tilde + m_old - m)
        c = f * c + i * z
        n = f * n + i
        h = c / n
        return h, c, n, m


class Decaying(Cell):
    """A decay that no bias can turn into growth: it moves to one side alone."""

    def step(self, x, h):
        h = exp(-maximum(0, W.d @ x + b.d)) * h + W.g @ x + b.g
        return h


class Crossed(Cell):
    """What keeps one state lets go of the other."""

    def step(self, x, h, c):
        f = sigmoid(W.f @ x + b.f)
        c = f * c + tanh(W.c @ x)
        h = (1 - f) * h + tanh(W.h @ x) + c
        return h, c
