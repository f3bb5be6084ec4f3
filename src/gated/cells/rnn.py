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
    source = _SOURCE

    def step(self, x, h):
        h = relu(W @ x + U @ h + b)
        return h
