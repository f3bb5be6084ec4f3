"""How nodes, numbers and operations are spelled in generated Triton."""

from __future__ import annotations

from gated.equations.graph import Graph
from gated.equations.ops import OPS
from gated.equations.render import expression
from gated.equations.symbols import Node

# what is called stands in functions.py, as do the reductions; products with a matrix are no
# pointwise work, their names say who writes them
TRITON = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "sigmoid": "sigmoid({0})", "tanh": "tanh({0})", "relu": "relu({0})", "exp": "exp({0})",
    "log": "log({0})", "sqrt": "sqrt({0})", "abs": "absolute({0})", "softplus": "softplus({0})",
    "maximum": "maximum({0}, {1})", "minimum": "minimum({0}, {1})",
    "select": "select({0}, {1}, {2})", "heaviside": "heaviside({0})",
}  # fmt: skip

INFIX = ("add", "sub", "mul", "div", "neg")


class Names:
    """A name of our own making for each node: equations may come from anybody's file."""

    def __init__(self) -> None:
        self.found: dict[Node, str] = {}

    def of(self, node: Node) -> str:
        """The name of a node."""
        return self.found.setdefault(node, f"n{len(self.found)}")


def literal(value: float) -> str:
    """A number."""
    return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)


def comment(text: str) -> str:
    """A text as a comment that ends with its line, whatever stands in the text."""
    return "# " + "".join(sign if sign.isprintable() else "?" for sign in text)


def heading(graph: Graph) -> list[str]:
    """The cell's equations as comments."""
    lines = [f"{graph.cell}, generated from its equations:"]
    lines += [f"  {name} = {_right_side(node)}" for name, node in graph.equations.items()]
    return [comment(line) for line in lines]


def _right_side(node: Node) -> str:
    op = OPS.get(node.op)
    if op is None:
        return expression(node)
    return op.text.format(*(expression(arg) for arg in node.args))


def indented(lines: list[str]) -> list[str]:
    """Lines, one level deeper."""
    return ["    " + line if line else line for line in lines]
