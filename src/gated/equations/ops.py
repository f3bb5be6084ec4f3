"""The operations that equations are made of: one row each, with one entry per target.

An operation is declared here once. Everything that is derived from a cell's equations reads this
table: the derivative (as equations again), the PyTorch expression that the reference engine
evaluates, the JavaScript that a page runs, the LaTeX and the terminal rendering. A further target
is a further column.

Operands stand as {0}, {1} in the templates. A vector has one axis, its units; batch and time are
the engines' business and never show here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gated.equations.symbols import Node

NORMALIZE_EPS = 1e-5

# (gradient of the result, the result, the operands) -> one gradient per operand, None for zero
Derivative = Callable[..., "tuple[Node | None, ...]"]


@dataclass(frozen=True)
class Op:
    """One operation: how many operands, how shapes combine, and its row in every target.

    `shape` is elementwise (units must agree, 1 spreads), reduce (n units to 1), matmul (of a matrix
    or of a convolution's kernel), blocks, the transposed of both, outer or like (its first
    operand). `binds` is how tightly the rendering binds: operands that bind less get parentheses.
    `javascript` is for one unit if the shape is elementwise, but for normalize, and takes and gives
    whole arrays otherwise; {heads} stands for the number of blocks.
    """

    name: str
    arity: int
    shape: str
    torch: str
    javascript: str
    latex: str
    text: str
    binds: int
    derivative: Derivative


def _apply(name: str, *args: Node | int) -> Node:
    from gated.equations.symbols import apply

    return apply(name, *args)


def _heaviside(v: Node) -> Node:
    return _apply("heaviside", v)


def _mean(v: Node) -> Node:
    return _apply("mean", v)


def _d_normalize(g: Node, y: Node, v: Node) -> tuple[Node, ...]:
    centred = v - _mean(v)
    spread = _apply("sqrt", _mean(centred * centred) + NORMALIZE_EPS)
    return ((g - _mean(g) - y * _mean(g * y)) / spread,)


def _larger(a: Node, b: Node) -> Node:
    """1 where a > b, 0 where a < b, and a half each where they tie, as in PyTorch."""
    return (1 + _heaviside(a - b) - _heaviside(b - a)) / 2


def _d_maximum(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, ...]:
    return g * _larger(a, b), g * _larger(b, a)


def _d_minimum(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, ...]:
    return g * _larger(b, a), g * _larger(a, b)


def _ones(v: Node) -> Node:
    return _apply("ones", v)


# A convolution runs over the places of an image; pages compute with vectors.
NOT_FOR_PAGES = ""

# What binds least comes first: a sum, a product, a matrix product, a function call.
SUM, PRODUCT, MATRIX, CALL = 1, 2, 3, 9

_ROWS = [
    Op("add", 2, "elementwise", "{0} + {1}", "{0} + {1}", "{0} + {1}", "{0} + {1}", SUM,
       lambda g, y, a, b: (g, g)),
    Op("sub", 2, "elementwise", "{0} - {1}", "{0} - {1}", "{0} - {1}", "{0} - {1}", SUM,
       lambda g, y, a, b: (g, -g)),
    Op("mul", 2, "elementwise", "{0} * {1}", "{0} * {1}", r"{0} \odot {1}", "{0} ⊙ {1}", PRODUCT,
       lambda g, y, a, b: (g * b, g * a)),
    Op("div", 2, "elementwise", "{0} / {1}", "{0} / {1}", r"\frac{{{0}}}{{{1}}}", "{0} / {1}",
       PRODUCT, lambda g, y, a, b: (g / b, -(g * y / b))),
    Op("neg", 1, "elementwise", "-{0}", "-{0}", "-{0}", "-{0}", PRODUCT, lambda g, y, a: (-g,)),
    Op("matmul", 2, "matmul", "linear({1}, {0})", "matmul({0}, {1})", "{0} {1}", "{0} {1}", MATRIX,
       lambda g, y, m, v: (_apply("outer", g, v), _apply("matmul_t", m, g))),
    Op("sigmoid", 1, "elementwise", "sigmoid({0})", "sigmoid({0})", r"\sigma\left({0}\right)",
       "σ({0})", CALL, lambda g, y, a: (g * y * (1 - y),)),
    Op("tanh", 1, "elementwise", "torch.tanh({0})", "Math.tanh({0})", r"\tanh\left({0}\right)",
       "tanh({0})", CALL, lambda g, y, a: (g * (1 - y * y),)),
    Op("relu", 1, "elementwise", "torch.relu({0})", "Math.max({0}, 0)",
       r"\mathrm{{relu}}\left({0}\right)", "relu({0})", CALL, lambda g, y, a: (g * _heaviside(a),)),
    Op("exp", 1, "elementwise", "torch.exp({0})", "Math.exp({0})", r"\exp\left({0}\right)",
       "exp({0})", CALL, lambda g, y, a: (g * y,)),
    Op("log", 1, "elementwise", "torch.log({0})", "Math.log({0})", r"\log\left({0}\right)",
       "log({0})", CALL, lambda g, y, a: (g / a,)),
    Op("sqrt", 1, "elementwise", "torch.sqrt({0})", "Math.sqrt({0})", r"\sqrt{{{0}}}", "sqrt({0})",
       CALL, lambda g, y, a: (g / (2 * y),)),
    Op("abs", 1, "elementwise", "torch.abs({0})", "Math.abs({0})", r"\left|{0}\right|", "|{0}|",
       CALL, lambda g, y, a: (g * (_heaviside(a) - _heaviside(-a)),)),
    # log(1 + e^a), exact on both sides: torch.nn.functional.softplus cuts off at 20
    Op("softplus", 1, "elementwise", "-torch.nn.functional.logsigmoid(-({0}))", "softplus({0})",
       r"\mathrm{{softplus}}\left({0}\right)", "softplus({0})", CALL,
       lambda g, y, a: (g * _apply("sigmoid", a),)),
    Op("maximum", 2, "elementwise", "torch.maximum({0}, {1})", "Math.max({0}, {1})",
       r"\max\left({0},\, {1}\right)", "max({0}, {1})", CALL, _d_maximum),
    Op("minimum", 2, "elementwise", "torch.minimum({0}, {1})", "Math.min({0}, {1})",
       r"\min\left({0},\, {1}\right)", "min({0}, {1})", CALL, _d_minimum),
    Op("mean", 1, "reduce", "{0}.mean(-1, keepdim=True)", "mean({0})",
       r"\mathrm{{mean}}\left({0}\right)", "mean({0})", CALL,
       lambda g, y, a: (g * _ones(a) / _apply("sum", _ones(a)),)),
    Op("normalize", 1, "elementwise",
       f"torch.nn.functional.layer_norm({{0}}, {{0}}.shape[-1:], eps={NORMALIZE_EPS})",
       f"normalize({{0}}, {NORMALIZE_EPS})", r"\mathrm{{norm}}\left({0}\right)", "norm({0})", CALL,
       _d_normalize),
    Op("select", 3, "elementwise", "torch.where({0} > 0, {1}, {2})", "({0} > 0 ? {1} : {2})",
       r"\begin{{cases}} {1} & {0} > 0 \\ {2} & \text{{else}} \end{{cases}}",
       "select({0}, {1}, {2})", CALL,
       lambda g, y, c, a, b: (None, _apply("select", c, g, 0), _apply("select", c, 0, g))),
    # What `@` means where a layer's maps are not dense: equations.maps puts these in its place.
    Op("blocks", 2, "blocks", "blocks({0}, {1})", "blocks({0}, {1}, {heads})", "{0} {1}", "{0} {1}",
       MATRIX, lambda g, y, m, v: (_apply("blocks_outer", m, g, v), _apply("blocks_t", m, g))),
    Op("convolve", 2, "matmul", "convolve({0}, {1})", NOT_FOR_PAGES, r"{0} \ast {1}", "{0} ∗ {1}",
       MATRIX, lambda g, y, m, v: (_apply("convolve_outer", m, g, v), _apply("convolve_t", m, g))),
    # The rest appears in derivatives only.
    Op("heaviside", 1, "elementwise", "({0} > 0).to({0}.dtype)", "({0} > 0 ? 1 : 0)",
       r"\left[{0} > 0\right]", "[{0} > 0]", CALL, lambda g, y, a: (None,)),
    Op("ones", 1, "elementwise", "torch.ones_like({0})", "1", r"\mathbf{{1}}", "1", CALL,
       lambda g, y, a: (None,)),
    Op("sum", 1, "reduce", "{0}.sum(-1, keepdim=True)", "sum({0})",
       r"\mathrm{{sum}}\left({0}\right)", "sum({0})", CALL, lambda g, y, a: (g * _ones(a),)),
    Op("matmul_t", 2, "matmul_t", "linear({1}, {0}.mT)", "matmulT({0}, {1})", r"{0}^\top {1}",
       "{0}ᵀ {1}", MATRIX, lambda g, y, m, v: (_apply("outer", v, g), _apply("matmul", m, g))),
    Op("outer", 2, "outer", "{0}.unsqueeze(-1) * {1}.unsqueeze(-2)", "outer({0}, {1})",
       r"{0}\, {1}^\top", "{0} {1}ᵀ", MATRIX,
       lambda g, y, a, b: (_apply("matmul", g, b), _apply("matmul_t", g, a))),
    Op("blocks_t", 2, "blocks_t", "blocks_t({0}, {1})", "blocksT({0}, {1}, {heads})",
       r"{0}^\top {1}", "{0}ᵀ {1}", MATRIX,
       lambda g, y, m, v: (_apply("blocks_outer", m, v, g), _apply("blocks", m, g))),
    Op("blocks_outer", 3, "like", "blocks_outer({0}, {1}, {2})",
       "blocksOuter({0}, {1}, {2}, {heads})",
       r"\mathrm{{blocks}}_{{{0}}}\left({1}\, {2}^\top\right)", "blocks_{0}({1} {2}ᵀ)", CALL,
       lambda g, y, m, a, b: (None, _apply("blocks", g, b), _apply("blocks_t", g, a))),
    Op("convolve_t", 2, "matmul_t", "convolve_t({0}, {1})", NOT_FOR_PAGES, r"{0}^\top \ast {1}",
       "{0}ᵀ ∗ {1}", MATRIX,
       lambda g, y, m, v: (_apply("convolve_outer", m, v, g), _apply("convolve", m, g))),
    Op("convolve_outer", 3, "like", "convolve_outer({0}, {1}, {2})", NOT_FOR_PAGES,
       r"\mathrm{{kernel}}_{{{0}}}\left({1} \ast {2}\right)", "kernel_{0}({1} ∗ {2})", CALL,
       lambda g, y, m, a, b: (None, _apply("convolve", g, b), _apply("convolve_t", g, a))),
]  # fmt: skip

OPS: dict[str, Op] = {op.name: op for op in _ROWS}

# a parameter times a vector, in every meaning that a layer's maps may give it
PRODUCTS = ("matmul", "blocks", "convolve")
