"""Small cells beside the catalogue, each with what it shows of the language."""

from __future__ import annotations

from gated.equations import (
    Cell,
    Family,
    R,
    U,
    W,
    absolute,
    b,
    maximum,
    mean,
    minimum,
    normalize,
    sigmoid,
    sqrt,
    tanh,
)

gain = Family("gain")


class LayerNormLSTM(Cell):
    """Normalisation over the units of each gate, with a gain vector for each (after Ba 2016)."""

    def step(self, x, h, c):
        i = sigmoid(gain.xi * normalize(W.i @ x) + gain.hi * normalize(U.i @ h) + b.i)
        f = sigmoid(gain.xf * normalize(W.f @ x) + gain.hf * normalize(U.f @ h) + b.f)
        g = tanh(gain.xg * normalize(W.g @ x) + gain.hg * normalize(U.g @ h) + b.g)
        o = sigmoid(gain.xo * normalize(W.o @ x) + gain.ho * normalize(U.o @ h) + b.o)
        c = f * c + i * g
        h = o * tanh(gain.c * normalize(c) + b.c)
        return h, c


class Leaky(Cell):
    """Constants: a rate that a variant changes is a class attribute."""

    rate = 0.25

    def step(self, x, h):
        h = (1 - self.rate) * h + self.rate * tanh(W @ x + U @ h + b)
        return h


class LeakyFast(Leaky):
    """Inherits the step, overrides a constant."""

    rate = 0.75


class Projected(Cell):
    """A state of another size than H: h has P units, c has H."""

    sizes = {"h": "P"}

    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        c = (1 - i) * c + i * tanh(W.g @ x + U.g @ h + b.g)
        h = R @ tanh(c)
        return h, c


class OneUnit(Cell):
    """A state of one unit beside one of H, and a mean over the units."""

    sizes = {"s": 1}

    def step(self, x, h, s):
        s = 0.5 * s + 0.5 * mean(absolute(h))
        h = tanh(W @ x + U @ h + b) / sqrt(1 + s)
        return h, s


class Clipped(Cell):
    """Nested extremes."""

    def step(self, x, h):
        h = maximum(-1, minimum(1, W @ x + U @ h + b))
        return h


SMALL = [
    LayerNormLSTM,
    Leaky,
    LeakyFast,
    Projected,
    OneUnit,
    Clipped,
]
