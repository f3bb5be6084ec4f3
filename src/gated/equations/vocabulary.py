"""The words that cells are written with: families of parameters and functions of vectors."""

from __future__ import annotations

from gated.equations.symbols import Family, Node, Operand, apply

W = Family("W")
U = Family("U")
R = Family("R")
V = Family("V")
b = Family("b", bias=True)
b_h = Family("b_h", latex="b'", bias=True)
p = Family("p")


def sigmoid(v: Operand) -> Node:
    """The logistic function 1 / (1 + exp(-v))."""
    return apply("sigmoid", v)


def tanh(v: Operand) -> Node:
    """The hyperbolic tangent."""
    return apply("tanh", v)


def relu(v: Operand) -> Node:
    """max(v, 0)."""
    return apply("relu", v)


def exp(v: Operand) -> Node:
    """The exponential function."""
    return apply("exp", v)


def log(v: Operand) -> Node:
    """The natural logarithm."""
    return apply("log", v)


def sqrt(v: Operand) -> Node:
    """The square root."""
    return apply("sqrt", v)


def absolute(v: Operand) -> Node:
    """The absolute value."""
    return apply("abs", v)


def softplus(v: Operand) -> Node:
    """log(1 + exp(v)), exact for large v."""
    return apply("softplus", v)


def maximum(a: Operand, b: Operand) -> Node:
    """The larger of two, unit by unit."""
    return apply("maximum", a, b)


def minimum(a: Operand, b: Operand) -> Node:
    """The smaller of two, unit by unit."""
    return apply("minimum", a, b)


def select(condition: Operand, a: Operand, b: Operand) -> Node:
    """a where the condition is above 0, else b; the one not taken may be NaN."""
    return apply("select", condition, a, b)


def mean(v: Operand) -> Node:
    """The mean over the units, one number."""
    return apply("mean", v)


def normalize(v: Operand) -> Node:
    """(v - mean) / sqrt(variance + 1e-5) over the units, as in layer normalisation (Ba 2016)."""
    return apply("normalize", v)
