"""The gated recurrent unit, in the two forms that are in use."""

from gated.equations import Cell, U, W, b, b_h, sigmoid, tanh

_SOURCE = (
    "K. Cho et al., Learning phrase representations using RNN encoder-decoder for statistical "
    "machine translation, EMNLP 2014, equations 5-8"
)


class GRU(Cell):
    """The GRU as cuDNN and PyTorch compute it: the reset gate acts after the matrix product.

    Here z near 1 keeps the old state, as in equation 7 of the paper; some later papers swap z and
    1 - z. ONNX calls this form linear_before_reset = 1.
    """

    source = f"{_SOURCE}; the reset after the product is cuDNN's and torch.nn.GRU's"
    renames = {"n": "h̃", "b_h": "b_hn"}

    def step(self, x, h):
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        n = tanh(W.n @ x + b.n + r * (U.n @ h + b_h.n))
        h = (1 - z) * n + z * h
        return h


class GRUResetBefore(Cell):
    """The GRU of the paper: the reset gate acts on the state, before the matrix product.

    With the same weights it drifts from the other form by tenths within twenty steps. ONNX calls
    this form linear_before_reset = 0.
    """

    name = "gru-reset-before"
    source = f"{_SOURCE}, with biases"
    renames = {"n": "h̃"}

    def step(self, x, h):
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        n = tanh(W.n @ x + U.n @ (r * h) + b.n)
        h = (1 - z) * n + z * h
        return h
