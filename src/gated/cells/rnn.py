"""The simple recurrent network of Elman."""

from gated.equations import Cell, U, W, b, relu, tanh

_SOURCE = (
    "J. L. Elman, Finding structure in time, Cognitive Science 14 (1990), pp. 179-211; "
    "the form of torch.nn.RNN"
)


class RNN(Cell):
    """The simple recurrent network: one layer that sees its own last output."""

    source = _SOURCE

    def step(self, x, h):
        h = tanh(W @ x + U @ h + b)
        return h


class RNNReLU(Cell):
    """The simple recurrent network with a rectifier, as `torch.nn.RNN(nonlinearity="relu")`."""

    name = "rnn-relu"
    source = (
        f"{_SOURCE}; with the rectifier for tanh as in Q. V. Le, N. Jaitly, G. E. Hinton, A simple "
        "way to initialize recurrent networks of rectified linear units, arXiv:1504.00941 (2015)"
    )

    def step(self, x, h):
        h = relu(W @ x + U @ h + b)
        return h
