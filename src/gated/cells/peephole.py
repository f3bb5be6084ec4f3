"""The LSTM with peepholes, and the eight variants of it that Greff et al. compared."""

from gated.equations import Cell, R, U, W, b, p, sigmoid, tanh

_GREFF = (
    "K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink, J. Schmidhuber, LSTM: a search "
    "space odyssey, arXiv:1503.04069 (2015), IEEE Transactions on Neural Networks and Learning "
    "Systems 28 (2017), pp. 2222-2232"
)
_IN_GREFF = {"g": "z", "h": "y", "U": "R"}


class Peephole(Cell):
    """The LSTM whose gates also see the cell state, each unit its own.

    The gates i and f see the old cell state, o the new one. Peepholes are vectors, not matrices:
    one cell to a memory block, where the paper lets several share their gates.
    """

    source = (
        "F. A. Gers, J. Schmidhuber, Recurrent nets that time and count, IJCNN 2000; "
        f"the form of {_GREFF}, called vanilla there"
    )
    renames = {"c": "s_c", "h": "y^c", "i": "y^in", "f": "y^φ", "o": "y^out", "g": "g(net_c)"}

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + p.i * c + b.i)
        f = sigmoid(W.f @ x + U.f @ h + p.f * c + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        c = f * c + i * g
        o = sigmoid(W.o @ x + U.o @ h + p.o * c + b.o)
        h = o * tanh(c)
        return h, c


class NIG(Peephole):
    """The peephole LSTM with no input gate: i = 1."""

    source = f"{_GREFF}, variant NIG"
    renames = _IN_GREFF
    where = {"i": 1}


class NFG(Peephole):
    """The peephole LSTM with no forget gate: f = 1."""

    source = f"{_GREFF}, variant NFG"
    renames = _IN_GREFF
    where = {"f": 1}


class NOG(Peephole):
    """The peephole LSTM with no output gate: o = 1."""

    source = f"{_GREFF}, variant NOG"
    renames = _IN_GREFF
    where = {"o": 1}


class NIAF(Peephole):
    """The peephole LSTM with no input activation function: g is linear."""

    source = f"{_GREFF}, variant NIAF"
    renames = _IN_GREFF
    where = {"g": lambda x, h: W.g @ x + U.g @ h + b.g}


class NOAF(Peephole):
    """The peephole LSTM with no output activation function: h = o c."""

    source = f"{_GREFF}, variant NOAF"
    renames = _IN_GREFF
    where = {"h": lambda o, c: o * c}


class NP(Peephole):
    """The peephole LSTM with no peepholes, which is the LSTM of today."""

    source = f"{_GREFF}, variant NP"
    renames = _IN_GREFF
    where = {"p": 0}


class CIFG(Peephole):
    """The peephole LSTM with coupled input and forget gate: f = 1 - i."""

    source = f"{_GREFF}, variant CIFG"
    renames = _IN_GREFF
    where = {"f": lambda i: 1 - i}


class FGR(Cell):
    """The peephole LSTM with full gate recurrence: each gate also sees the last step's gates.

    The last gates are states, so there are five. Nine more matrices: R.i2f takes i to f, which
    the paper writes R_if. Of the gates' values before the first step the paper says nothing;
    here they are 0, as all states are.
    """

    source = f"{_GREFF}, variant FGR"
    renames = {**_IN_GREFF, "R.i2f": "R_if"}

    def step(self, x, h, c, i, f, o):
        last_i, last_f, last_o = i, f, o
        i = sigmoid(
            W.i @ x + U.i @ h + p.i * c + b.i
            + R.i2i @ last_i + R.f2i @ last_f + R.o2i @ last_o
        )  # fmt: skip
        f = sigmoid(
            W.f @ x + U.f @ h + p.f * c + b.f
            + R.i2f @ last_i + R.f2f @ last_f + R.o2f @ last_o
        )  # fmt: skip
        g = tanh(W.g @ x + U.g @ h + b.g)
        c = f * c + i * g
        o = sigmoid(
            W.o @ x + U.o @ h + p.o * c + b.o
            + R.i2o @ last_i + R.f2o @ last_f + R.o2o @ last_o
        )  # fmt: skip
        h = o * tanh(c)
        return h, c, i, f, o
