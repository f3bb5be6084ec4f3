"""How much a cell holds and how much a step computes: counts in letters, such as 4 D H + 4 H²."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from gated.equations.graph import Graph, Size
from gated.equations.ops import OPS, PRODUCTS
from gated.equations.symbols import Node

__all__ = ["Count", "elementwise", "parameters", "products"]

_POWERS = {1: "", 2: "²", 3: "³"}


@dataclass(frozen=True)
class Count:
    """A sum of products of sizes.

    Attributes:
        terms: for each product of letters, in alphabetical order, how often it is there.
    """

    terms: Mapping[tuple[str, ...], Fraction]

    @classmethod
    def of(cls, shapes: Iterable[Iterable[Size]]) -> Count:
        """The elements of several shapes together."""
        terms: dict[tuple[str, ...], Fraction] = {}
        for shape in shapes:
            letters, factor = [], Fraction(1)
            for size in shape:
                letter, _, parts = str(size).partition("/")
                if letter.isdecimal():
                    factor *= int(letter)
                else:
                    letters.append(letter)
                    factor /= int(parts or 1)
            key = tuple(sorted(letters))
            terms[key] = terms.get(key, Fraction(0)) + factor
        return cls(terms)

    def value(self, sizes: Mapping[str, int]) -> int:
        """The number for given sizes; what does not divide into heads is rounded."""
        total = Fraction(0)
        for letters, factor in self.terms.items():
            for letter in letters:
                factor *= sizes[letter]
            total += factor
        return round(total)

    def __str__(self) -> str:
        order = sorted(self.terms, key=lambda letters: (-len(letters), letters))
        return " + ".join(_term(letters, self.terms[letters]) for letters in order) or "0"


def parameters(graph: Graph) -> Count:
    """The weights of a cell, one bias an equation.

    Example:
        >>> from gated.cells import cell
        >>> print(parameters(cell("lstm").graph))
        4 D H + 4 H² + 4 H
    """
    return Count.of(parameter.shape for parameter in graph.parameters)


def products(graph: Graph) -> Count:
    """The multiplications and additions of a step's products with matrices, counted as pairs.

    Each weight of a matrix is used once for each product it stands in; those of a convolution once
    more for each place of the image.
    """
    return Count.of(
        [dim.value or "H" for dim in node.args[0].shape]
        for node in graph.nodes()
        if node.op in PRODUCTS
    )


def elementwise(graph: Graph) -> Count:
    """The operations of a step unit by unit; a function such as tanh counts as one, and so does
    each number that goes into a mean.

    Example:
        >>> from gated.cells import cell
        >>> print(elementwise(cell("lstm").graph))
        17 H
    """  # fmt: skip
    varies: set[Node] = set()
    shapes = []
    for node in graph.nodes():
        if node.op in ("input", "state") or any(arg in varies for arg in node.args):
            varies.add(node)
        if node in varies and node.op in OPS and node.op not in PRODUCTS:
            counted = node.args[0] if OPS[node.op].shape == "reduce" else node
            shapes.append([dim.value or "H" for dim in counted.shape])
    return Count.of(shapes)


def _term(letters: tuple[str, ...], factor: Fraction) -> str:
    powers = {letter: letters.count(letter) for letter in letters}
    written = " ".join(f"{letter}{_POWERS.get(n, f'^{n}')}" for letter, n in powers.items())
    if not written:
        return str(factor)
    number = "" if factor.numerator == 1 else f"{factor.numerator} "
    return f"{number}{written}" + (f" / {factor.denominator}" if factor.denominator > 1 else "")
