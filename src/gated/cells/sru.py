"""The simple recurrent unit."""

from gated.equations import Cell, V, W, b, p, sigmoid


class SRU(Cell):
    """The simple recurrent unit: its matrices see x alone, its gates c unit by unit.

    The paper's highway adds x as it is, which needs D = H. Here V x stands in its place: with the
    identity for V it is the paper's. Its constant that scales the highway in deep stacks is 1.
    """

    source = (
        "T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi, Simple recurrent units for highly "
        "parallelizable recurrence, EMNLP 2018, arXiv:1709.02755, equations 1-4"
    )
    renames = {"p": "v", "W.g": "W", "V": "1 (x as it is)"}

    def step(self, x, h, c):
        f = sigmoid(W.f @ x + p.f * c + b.f)
        r = sigmoid(W.r @ x + p.r * c + b.r)
        g = W.g @ x
        c = f * c + (1 - f) * g
        h = r * c + (1 - r) * (V @ x)
        return h, c
