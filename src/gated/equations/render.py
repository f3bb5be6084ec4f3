"""A cell's equations as LaTeX and as text for a terminal, from the rows of the operation table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gated.equations.graph import Graph
from gated.equations.ops import CALL, OPS
from gated.equations.symbols import Node, Symbol

GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu",
    "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma",
    "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
}  # fmt: skip
ACCENTS = {"hat": r"\hat", "tilde": r"\tilde", "bar": r"\bar"}


def latex(graph: Graph) -> str:
    """The equations as a LaTeX `aligned` block, time as a subscript."""
    return "\\begin{aligned}\n" + " \\\\\n".join(latex_lines(graph, "&=")) + "\n\\end{aligned}"


def latex_lines(graph: Graph, equals: str = "=") -> list[str]:
    """The equations as LaTeX, one each."""
    return [
        f"{_latex_now(name)} {equals} {_LATEX.line(node)}" for name, node in graph.equations.items()
    ]


def text(graph: Graph) -> str:
    """The equations for a terminal, one a line; h₋ is the previous step's h."""
    width = max(map(len, graph.equations))
    return "\n".join(
        f"{name:<{width}} = {_TEXT.line(node)}" for name, node in graph.equations.items()
    )


def expression(node: Node) -> str:
    """A node as text, its name if the step gave it one: "f" for what the LSTM keeps its c by."""
    return _TEXT.write(node)


@dataclass(frozen=True)
class _Writer:
    template: Callable[[str], str]
    leaf: Callable[[Node], str]
    now: Callable[[str], str]

    def line(self, node: Node) -> str:
        return self._operation(node)[0]

    def write(self, node: Node, least: int = 0) -> str:
        if node.name is not None:
            return self.now(node.name)
        if node.op not in OPS:
            return self.leaf(node)
        written, binds = self._operation(node)
        return written if binds >= least else f"({written})"

    def _operation(self, node: Node) -> tuple[str, int]:
        op = OPS[node.op]
        template = self.template(node.op)
        inside = 0 if op.binds == CALL or template.startswith(r"\frac") else op.binds
        args = [self.write(arg, inside + (i > 0)) for i, arg in enumerate(node.args)]
        if node.op in ("add", "mul"):  # associative: no parentheses on the right either
            args[1] = self.write(node.args[1], inside)
        if inside and args[-1].startswith("-"):  # no two signs in a row
            args[-1] = f"({args[-1]})"
        binds = CALL if template.startswith(r"\frac") else op.binds
        return template.format(*args), binds


def _number(value: float) -> str:
    """The shortest decimal that is exactly the value."""
    return repr(value).removesuffix(".0").replace("inf", "∞")


def _latex_number(value: float) -> str:
    digits, exponent = (*_number(value).split("e"), "")[:2]
    if not exponent:
        return digits.replace("∞", r"\infty")
    power = f"10^{{{int(exponent)}}}"
    return power if digits == "1" else rf"{digits} \cdot {power}"


def _text_leaf(node: Node) -> str:
    if node.op == "constant":
        return _number(node.value)
    if node.symbol is not None:
        mark = "b'" if node.symbol.family.latex == "b'" else node.symbol.family.letter
        return f"{mark}_{node.symbol.subscript}" if node.symbol.subscript else mark
    return f"{node.label}₋" if node.op == "state" else node.label


def _latex_leaf(node: Node) -> str:
    if node.op == "constant":
        return _latex_number(node.value)
    if node.symbol is not None:
        return _latex_symbol(node.symbol)
    return _subscript(node.label, "t-1" if node.op == "state" else "t")


def _latex_symbol(symbol: Symbol) -> str:
    family = symbol.family
    letter = _letters(family.letter) if family.latex == family.letter else family.latex
    return f"{letter}_{{{_letters(symbol.subscript)}}}" if symbol.subscript else letter


def _latex_now(name: str) -> str:
    return _subscript(name, "t")


def _subscript(name: str, index: str) -> str:
    base, _, rest = name.partition("_")
    if rest in ACCENTS:
        return f"{ACCENTS[rest]}{{{_letters(base)}}}_{{{index}}}"
    return (
        f"{_letters(base)}_{{{_letters(rest)},{index}}}"
        if rest
        else f"{_letters(base)}_{{{index}}}"
    )


def _letters(word: str) -> str:
    if word in GREEK:
        return f"\\{word}"
    plain = word.replace("_", r"\_")
    return plain if len(word) == 1 else rf"\mathrm{{{plain}}}"


_LATEX = _Writer(lambda op: OPS[op].latex, _latex_leaf, _latex_now)
_TEXT = _Writer(lambda op: OPS[op].text, _text_leaf, lambda name: name)
