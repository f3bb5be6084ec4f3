"""The long short-term memory."""

from gated.equations import Cell, R, U, W, b, sigmoid, tanh


class LSTM(Cell):
    """The LSTM with a forget gate and no peepholes: the form that everybody means today."""

    source = (
        "F. A. Gers, J. Schmidhuber, F. Cummins, Learning to forget: continual prediction with "
        "LSTM, Neural Computation 12 (2000), pp. 2451-2471, with the squashing functions g and h "
        "both tanh; S. Hochreiter, J. Schmidhuber, Long short-term memory, "
        "Neural Computation 9 (1997), pp. 1735-1780, for all but the forget gate"
    )
    renames = {"c": "s_c", "h": "y^c", "i": "y^in", "f": "y^φ", "o": "y^out", "g": "g(net_c)"}

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, c


class LSTM1997(LSTM):
    """The LSTM of 1997, before the forget gate: what is stored stays until something is added.

    The paper's squashing functions are sigmoids scaled to (-2, 2) for g and to (-1, 1) for h;
    here both are tanh, as in the form of today. Its truncated gradient is a matter of training,
    not of the equations.
    """

    name = "lstm-1997"
    source = (
        "S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), "
        "pp. 1735-1780, section 4, with the squashing functions g and h both tanh"
    )
    renames = {"c": "s_c", "h": "y^c", "i": "y^in", "o": "y^out", "g": "g(net_c)"}
    where = {"f": 1}


class LSTMP(Cell):
    """The LSTM with a recurrent projection: the output h has P units, fewer than c's H."""

    name = "lstmp"
    sizes = {"h": "P"}
    source = (
        "H. Sak, A. Senior, F. Beaufays, Long short-term memory recurrent neural network "
        "architectures for large scale acoustic modeling, Interspeech 2014, without "
        "peepholes and without a non-recurrent projection; torch.nn.LSTM's proj_size"
    )
    renames = {"h": "r", "R": "W_rm"}

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = R @ (o * tanh(c))
        return h, c
