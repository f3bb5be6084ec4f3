"""The LSTM with layer normalisation."""

from gated.equations import Cell, Family, U, W, b, mean, normalize, sigmoid, sqrt, tanh
from gated.equations.ops import NORMALIZE_EPS
from gated.equations.symbols import Node

gain_x = Family("gain_x", latex=r"\alpha^{x}", start=1.0)
gain_h = Family("gain_h", latex=r"\alpha^{h}", start=1.0)
gain_c = Family("gain_c", latex=r"\alpha^{c}", start=1.0)


def _mean(i: Node, f: Node, g: Node, o: Node) -> Node:
    """The mean over the units of four vectors, as if they were one."""
    return (mean(i) + mean(f) + mean(g) + mean(o)) / 4


def _deviation(m: Node, i: Node, f: Node, g: Node, o: Node) -> Node:
    """The standard deviation over the units of four vectors, whose joint mean is m."""
    return sqrt(
        _mean(_square(i - m), _square(f - m), _square(g - m), _square(o - m)) + NORMALIZE_EPS
    )


def _square(v: Node) -> Node:
    return v * v


class LayerNormLSTM(Cell):
    """The layer-normalised LSTM of Ba et al.: W x, U h and what leaves c are normalised.

    The four gates' shares of W x are normalised together, as one vector of 4 H units, and so are
    those of U h; m and s are the mean and the standard deviation of each. The cell state c is
    carried as it is, and normalised only on its way to h. Gains start at 1; the shifts that the
    paper gives to both normalisations are one with the bias b.

    Other forms are in use: one normalisation per gate, and a c that is carried normalised.
    """

    name = "layernorm-lstm"
    source = (
        "J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, arXiv:1607.06450 (2016), "
        "supplementary material, equations 20-22"
    )
    renames = {"W": "W_x", "U": "W_h", "gain_x": "α_2", "gain_h": "α_1", "gain_c": "α_3"}

    def step(self, x, h, c):
        a_i = W.i @ x
        a_f = W.f @ x
        a_g = W.g @ x
        a_o = W.o @ x
        m_a = _mean(a_i, a_f, a_g, a_o)
        s_a = _deviation(m_a, a_i, a_f, a_g, a_o)
        u_i = U.i @ h
        u_f = U.f @ h
        u_g = U.g @ h
        u_o = U.o @ h
        m_u = _mean(u_i, u_f, u_g, u_o)
        s_u = _deviation(m_u, u_i, u_f, u_g, u_o)
        i = sigmoid(gain_x.i * (a_i - m_a) / s_a + gain_h.i * (u_i - m_u) / s_u + b.i)
        f = sigmoid(gain_x.f * (a_f - m_a) / s_a + gain_h.f * (u_f - m_u) / s_u + b.f)
        g = tanh(gain_x.g * (a_g - m_a) / s_a + gain_h.g * (u_g - m_u) / s_u + b.g)
        o = sigmoid(gain_x.o * (a_o - m_a) / s_a + gain_h.o * (u_o - m_u) / s_u + b.o)
        c = f * c + i * g
        h = o * tanh(gain_c * normalize(c) + b.c)
        return h, c
