"""C++ for a cell's loops over time: the pointwise stages, written from its equations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gated.engines.cpu.ahead import Ahead
from gated.engines.cpu.astern import Astern
from gated.engines.cpu.frame import Kernel
from gated.engines.cpu.spelling import Names
from gated.engines.fused.storage import Kept, Place
from gated.equations.ops import OPS
from gated.equations.render import expression
from gated.equations.symbols import Node

_RUNTIME = [Path(__file__).with_name(name) for name in ("functions.hpp", "kernel.hpp")]
_PRODUCTS = """
extern "C" void transposed_times(const real* matrix, index_t height, index_t depth,
        const real* rows, index_t count, real* out, int threads) {
    product(rows, count, matrix, height, depth, out, threads);
}

extern "C" void outer_sum(const real* d, index_t dstride, const real* x, index_t xstride,
        index_t count, index_t height, index_t depth, real* out, int add, real* sums, int threads) {
    outer(d, dstride, x, xstride, count, height, depth, out, add != 0, sums, threads);
}
"""


@dataclass(frozen=True, eq=False)
class Source:
    """The generated C++ and what its functions take: inference, training and its way back.

    `products` tells where the way back leaves the gradient of each product with a matrix.
    """

    text: str
    letters: tuple[str, ...]
    forward: Kernel
    training: Kernel
    backward: Kernel
    products: dict[Node, Place]


def generate(kept: Kept, real: str) -> Source:
    """The C++ of both loops in `float` or `double`."""
    names, graph = Names(), kept.loop.graph
    letters = tuple(graph.letters)
    forward = Ahead(kept, names, "forward", training=False)
    training = Ahead(kept, names, "training", training=True)
    backward = Astern(kept, names)
    head = [
        f"// {graph.cell}, generated from its equations:",
        *(f"//   {name} = {expression_line(node)}" for name, node in graph.equations.items()),
        f"typedef {real} real;",
        "",
        *(part.read_text() for part in _RUNTIME),
    ]
    writers = (forward, training, backward)
    text = "\n".join([*head, _PRODUCTS, *(writer.text(letters) for writer in writers)])
    kernels = [writer.kernel() for writer in writers]
    return Source(text, letters, kernels[0], kernels[1], kernels[2], backward.products)


def expression_line(node: Node) -> str:
    """A named node's right-hand side as a comment."""
    op = OPS.get(node.op)
    if op is None:
        return expression(node)
    return op.text.format(*(expression(arg) for arg in node.args))
