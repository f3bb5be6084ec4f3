"""The extended LSTM's scalar cell."""

from gated.equations import Cell, U, W, b, exp, maximum, sigmoid, softplus, tanh


class SLSTM(Cell):
    """The scalar LSTM of the xLSTM: exponential input gates, a normaliser n and a stabiliser m.

    The forget gate is the sigmoid one, through its logarithm logf = log(sigmoid(f_tilde)); the
    paper also allows exp, which is logf = f_tilde. Here i and f are the stabilised gates, i' and
    f' in the paper: with them h is what it would be without m, and nothing overflows. m starts at
    -inf, so that the first step's m is its i_tilde. The paper's heads make U block-diagonal, which
    is a choice of map: `maps={"U": Heads(4)}`. Zeros are not its initial states: with m and n at 0
    an i_tilde below -100 gives 0 / 0. Pass no state for a start, or `resets`.
    """

    name = "slstm"
    initial = {"m": float("-inf")}
    source = (
        "M. Beck et al., xLSTM: extended long short-term memory, NeurIPS 2024, arXiv:2405.04517, "
        "equations 8-17"
    )
    renames = {"U": "R", "i": "i'", "f": "f'", "i_tilde": "ĩ", "f_tilde": "f̃", "logf": "log f"}

    def step(self, x, h, c, n, m):
        i_tilde = W.i @ x + U.i @ h + b.i
        f_tilde = W.f @ x + U.f @ h + b.f
        z = tanh(W.z @ x + U.z @ h + b.z)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        logf = -softplus(-f_tilde)
        last_m = m
        m = maximum(logf + last_m, i_tilde)
        i = exp(i_tilde - m)
        f = exp(logf + last_m - m)
        c = f * c + i * z
        n = f * n + i
        h = o * (c / n)
        return h, c, n, m
