"""The independently recurrent network."""

from gated.equations import Cell, U, W, b, relu


class IndRNN(Cell):
    """The simple recurrent network in which each unit sees only itself: U is a vector.

    With a rectifier, as in the paper's experiments. Any other cell gets such a U by
    `maps="diagonal"`. Without the paper's bound on |U| its state may grow without limit.
    """

    name = "indrnn"
    source = (
        "S. Li, W. Li, C. Cook, C. Zhu, Y. Gao, Independently recurrent neural network (IndRNN): "
        "building a longer and deeper RNN, CVPR 2018, arXiv:1803.04831"
    )
    renames = {"U": "u"}

    def step(self, x, h):
        h = relu(W @ x + U * h + b)
        return h
