"""C++ for a cell's loops over time: the pointwise stages, written from its equations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gated.engines.cpu.ahead import Ahead
from gated.engines.cpu.astern import Astern
from gated.engines.cpu.writer import Kernel, Names
from gated.equations.loop import Backward, Forward
from gated.equations.ops import OPS
from gated.equations.render import expression
from gated.equations.symbols import Node

_RUNTIME = [Path(__file__).with_name(name) for name in ("functions.hpp", "kernel.hpp")]


@dataclass(frozen=True)
class Source:
    """The generated C++ and what its functions take: inference, training and its way back."""

    text: str
    letters: tuple[str, ...]
    forward: Kernel
    training: Kernel
    backward: Kernel


def generate(loop: Forward, back: Backward, real: str) -> Source:
    """The C++ of both loops in `float` or `double`."""
    names = Names()
    letters = tuple(loop.graph.letters)
    writers = [
        Ahead(loop, [], "forward", names, letters),
        Ahead(loop, back.kept, "training", names, letters),
        Astern(loop, back, names, letters),
    ]
    head = [
        f"// {loop.graph.cell}, generated from its equations:",
        *(f"//   {name} = {expression_line(node)}" for name, node in loop.graph.equations.items()),
        f"typedef {real} real;",
        "",
        *(part.read_text() for part in _RUNTIME),
    ]
    text = "\n".join([*head, *(writer.text() for writer in writers)])
    return Source(text, letters, *(writer.kernel() for writer in writers))


def expression_line(node: Node) -> str:
    """A named node's right-hand side as a comment."""
    op = OPS.get(node.op)
    if op is None:
        return expression(node)
    return op.text.format(*(expression(arg) for arg in node.args))
