"""The minimal LSTM and GRU: gates see x alone, so time may be a scan."""

from gated.equations import Cell, W, b, sigmoid, softplus

_SOURCE = (
    "L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, Were RNNs all we needed?, "
    "arXiv:2410.01201 (2024)"
)


class MinLSTM(Cell):
    """The minimal LSTM: its state is linear in the last one, its gates see x alone and sum to 1.

    The paper normalises the gates, f / (f + i) and i / (f + i) of two sigmoids. Here d = log i -
    log f, so that nothing underflows where both are small; f and i are the normalised gates. The
    candidate g is linear, as in the plain form. The paper's log-space form takes
    g(x) = x + 0.5 where x >= 0, else sigmoid(x), of the candidate, which keeps it positive.
    """

    name = "minlstm"
    source = f"{_SOURCE}, section 3.2, the plain form"
    renames = {"g": "h̃", "f": "f'", "i": "i'", "W": "Linear"}

    def step(self, x, h):
        f_hat = W.f @ x + b.f
        i_hat = W.i @ x + b.i
        g = W.g @ x + b.g
        d = softplus(-f_hat) - softplus(-i_hat)
        f = sigmoid(-d)
        i = sigmoid(d)
        h = f * h + i * g
        return h


class MinGRU(Cell):
    """The minimal GRU: no reset gate, and z and the candidate g see x alone.

    The candidate is linear, as in the plain form. The paper's log-space form takes
    g(x) = x + 0.5 where x >= 0, else sigmoid(x), of the candidate, which keeps it positive.
    """

    name = "mingru"
    source = f"{_SOURCE}, section 3.1, the plain form"
    renames = {"g": "h̃", "W": "Linear"}

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        g = W.g @ x + b.g
        h = (1 - z) * h + z * g
        return h
