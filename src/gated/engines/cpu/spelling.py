"""How nodes, numbers and operations are spelled in C++."""

from __future__ import annotations

from collections.abc import Iterable

from gated.equations.symbols import Node

CPP = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "sigmoid": "sigmoid_({0})", "tanh": "tanh_({0})", "relu": "relu_({0})", "exp": "exp_({0})",
    "log": "log_({0})", "sqrt": "sqrt_({0})", "abs": "abs_({0})", "softplus": "softplus_({0})",
    "maximum": "maximum_({0}, {1})", "minimum": "minimum_({0}, {1})",
    "select": "({0} > 0 ? {1} : {2})", "heaviside": "heaviside_({0})", "ones": "real(1)",
}  # fmt: skip


class Names:
    """A C++ name for each node: its own where it has one, else a number."""

    def __init__(self) -> None:
        self.found: dict[Node, str] = {}

    def of(self, node: Node) -> str:
        """The name of a node."""
        if node not in self.found:
            # a prefix keeps them apart from C++'s words and from each other
            word = node.name or node.label.replace(".", "_") or ""
            self.found[node] = f"n{len(self.found)}_{word}" if word else f"n{len(self.found)}"
        return self.found[node]


def literal(value: float) -> str:
    """A number in C++."""
    if value in (float("inf"), float("-inf")):
        return f"real({'-' if value < 0 else ''}INFINITY)"
    return f"real({value!r})"


def indented(lines: Iterable[str]) -> list[str]:
    """Lines, one level deeper."""
    return [line if line.startswith("#") else "    " + line for line in lines]
