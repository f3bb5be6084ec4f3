"""The three cells that Jozefowicz et al. found by mutation: neighbours of the GRU.

The paper adds x to vectors of H units as it is, which needs D = H. Here such a bare x is
projected, so that D and H are free: with the identity for that W it is the paper's. In all three
z near 1 takes the new value, where the GRU here keeps the old one.
"""

from gated.equations import Cell, U, W, b, sigmoid, tanh

_SOURCE = (
    "R. Jozefowicz, W. Zaremba, I. Sutskever, An empirical exploration of recurrent network "
    "architectures, ICML 2015"
)


class MUT1(Cell):
    """The first mutant: its update gate z does not see the state.

    The paper's tanh(x) is tanh(W.n x) here.
    """

    source = f"{_SOURCE}, MUT1"
    renames = {"W.n": "1 (x as it is)", "U": "W_h", "W": "W_x"}

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        n = tanh(U.n @ (r * h) + tanh(W.n @ x) + b.n)
        h = n * z + h * (1 - z)
        return h


class MUT2(Cell):
    """The second mutant: its reset gate r adds x as it is.

    The paper's x in r is W.r x here. With that W free the equations are those of the GRU with the
    reset before the product, z and 1 - z swapped: what set MUT2 apart is W.r held at the identity.
    """

    source = f"{_SOURCE}, MUT2"
    renames = {"W.r": "1 (x as it is)", "U": "W_h", "W": "W_x"}

    def step(self, x, h):
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        n = tanh(U.n @ (r * h) + W.n @ x + b.n)
        h = n * z + h * (1 - z)
        return h


class MUT3(MUT2):
    """The third mutant: its update gate z sees tanh(h)."""

    source = f"{_SOURCE}, MUT3"
    renames = {"U": "W_h", "W": "W_x"}
    where = {"z": lambda x, h: sigmoid(W.z @ x + U.z @ tanh(h) + b.z)}
