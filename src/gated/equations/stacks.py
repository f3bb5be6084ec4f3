"""Matrices that stand one below the other in a stored tensor, multiplied as one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gated.equations.graph import Graph
from gated.equations.symbols import Node


@dataclass(frozen=True)
class Bank:
    """Matrices of one family and shape, by key, from the top."""

    keys: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Stream:
    """Values known before a loop over time that are one product: stacked matrices times `operand`.

    To each of the `nodes` belongs a matrix of the bank and what is added to the product, a value
    that is the same at every step, or None.
    """

    bank: Bank
    operand: Node
    nodes: tuple[Node, ...]
    added: tuple[Node | None, ...]


def banks(graph: Graph, keys: Collection[str]) -> tuple[Bank, ...]:
    """The banks in which the matrices of these keys stand."""
    found: list[Bank] = []
    for family in graph.families.values():
        wanted = [p.key for p in family if p.key in keys]
        alike = len({p.shape for p in family}) == 1
        if wanted:
            found += [Bank(tuple(wanted))] if alike else [Bank((key,)) for key in wanted]
    return tuple(found)


def streams(graph: Graph, given: Mapping[Node, bool]) -> tuple[Stream, ...]:
    """The given values that are a dense product, maybe with something added, by operand and bank.

    `given` tells of each value whether it differs from step to step.
    """
    differing = timed(graph)
    parts = {}
    for node, differs in given.items():
        split = _split(node, differing) if differs else None
        if split is not None:
            parts[split[0].args[0].label, split[0].args[1]] = (node, split[1])
    found = []
    for operand in dict.fromkeys(operand for _, operand in parts):
        for bank in banks(graph, [key for key, other in parts if other is operand]):
            of_bank = [parts[key, operand] for key in bank.keys]
            nodes, added = zip(*of_bank, strict=True)
            found.append(Stream(bank, operand, nodes, added))
    return tuple(found)


def is_stream(node: Node, differing: Collection[Node]) -> bool:
    """Whether a value is a dense product, maybe with something added that is always the same."""
    return _split(node, differing) is not None


def _split(node: Node, differing: Collection[Node]) -> tuple[Node, Node | None] | None:
    """A dense product and what is added to it, None if the node is not such a sum."""
    if _is_product(node):
        return node, None
    if node.op != "add":
        return None
    for product, other in (node.args, node.args[::-1]):
        if _is_product(product) and other not in differing:
            return product, other
    return None


def _is_product(node: Node) -> bool:
    return node.op == "matmul" and node.args[0].op == "parameter"


def timed(graph: Graph) -> set[Node]:
    """The nodes that differ from step to step without the state."""
    found: set[Node] = set(graph.inputs.values())
    for node in graph.nodes():
        if any(arg in found for arg in node.args):
            found.add(node)
    return found
