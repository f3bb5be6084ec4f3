"""Which biases decide how long a cell keeps its memory, found by trying its equations.

No gate is known by name. All weights and states are set to 0, one bias at a time is moved, and the
factor by which the memory keeps its value rises, falls or stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.reference import evaluate
from gated.equations import Cell
from gated.equations.facts import kept
from gated.equations.graph import Graph
from gated.equations.noising import written
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node
from gated.errors import OptionError

_MOVE = 0.5


@dataclass(frozen=True)
class Keeping:
    """The biases that govern one state's memory, with the sign by which each acts.

    Attributes:
        state: the state that is kept.
        keep: those that keep it: +1 if the state is kept longer as the bias rises, else -1; 0 for
            one that the equations add to another, as a second bias.
        write: those of the gates that let something new in and do not keep: +1 if more is
            written as the bias rises, else -1; 0 as for `keep`.
    """

    state: str
    keep: dict[str, int]
    write: dict[str, int]


@lru_cache(maxsize=256)
def keeping(cell: Cell) -> tuple[Keeping, ...]:
    """The biases that govern the cell's memory, for each state that has such.

    Of the biases that move the factor by which a state keeps its last value, those count that
    raise it, f in c = f c₋ + i g; where none does, those that lower it, z in
    h = (1 - z) h₋ + z n. A bias that moves it to one side only, as that of a decay
    exp(-max(0, w δ + b)), counts if there is no other.

    Raises:
        OptionError: no state is kept by a factor, or no bias moves such a factor, or one bias
            keeps a state as far as it lets go of another.
    """
    graph = cell.stored
    factors = kept(graph)
    if not factors:
        raise OptionError(
            f"{cell.name} keeps no state by a factor of its last value: there is no gate whose "
            f"bias would keep its memory; leave forget_bias and Chrono to cells that have one"
        )
    probe = _Probe(graph)
    for sides in (2, 1):
        found = [(state, probe.signs(node, sides)) for state, node in factors.items()]
        if any(signs for _, signs in found):
            memories = [_keeping(probe, s, factors[s], signs) for s, signs in found if signs]
            _check_agree(cell, memories)
            return tuple(memories)
    names = ", ".join(factors)
    raise OptionError(
        f"{cell.name} keeps {names} by a factor that no bias moves; leave forget_bias and Chrono "
        f"to cells whose gates have biases"
    )


def _keeping(probe: _Probe, state: str, factor: Node, signs: dict[str, int]) -> Keeping:
    raising = {key: sign for key, sign in signs.items() if sign > 0}
    keep = probe.without_doubles(factor, raising or signs)
    write: dict[str, int] = {}
    for gate in probe.gates(written(probe.graph, state).values()):
        # as a ratio, so that a scale common to both, as a stabiliser's, drops out
        ratio = Node("div", (gate, factor), factor.shape)
        signs = {k: s for k, s in probe.signs(ratio, 2).items() if k not in (*keep, *write)}
        write |= probe.without_doubles(ratio, signs)
    return Keeping(state, keep, write)


def _check_agree(cell: Cell, memories: list[Keeping]) -> None:
    signs: dict[str, int] = {}
    for memory in memories:
        for key, sign in memory.keep.items():
            if signs.setdefault(key, sign) != sign:
                raise OptionError(
                    f"{cell.name} keeps {memory.state} the less, the more it keeps another state, "
                    f"by the one bias {key}; leave forget_bias and Chrono to cells whose memories "
                    f"agree"
                )


class _Probe:
    """A cell's equations with one unit, and with 0 for every weight, input and state."""

    def __init__(self, graph: Graph):
        self.graph = graph
        zero = torch.zeros(1, dtype=torch.float64)
        self.known: dict[Node, Tensor] = {}
        self.biases: dict[str, Node] = {}
        for node in graph.nodes():
            family = node.symbol.family if node.symbol is not None else None
            if node.op in ("input", "state", "parameter", *PRODUCTS):
                self.known[node] = zero + (family.start or 0.0 if family is not None else 0.0)
            if family is not None and family.bias:
                self.biases[node.label] = node

    def value(self, node: Node, moved: Mapping[str, float] | None = None) -> float:
        """The value of a node, with some biases moved."""
        biases = {
            self.biases[key]: self.known[self.biases[key]] + by for key, by in (moved or {}).items()
        }
        return evaluate([node], self.known | biases)[node].item()

    def signs(self, node: Node, sides: int) -> dict[str, int]:
        """The biases that move a node's value, on both sides of 0 or on one, and which way."""
        found = {}
        at_rest = self.value(node)
        for key in self.biases:
            up = _sign(self.value(node, {key: _MOVE}) - at_rest)
            down = _sign(at_rest - self.value(node, {key: -_MOVE}))
            if abs(up + down) >= sides:
                found[key] = up or down
        return found

    def without_doubles(self, node: Node, signs: dict[str, int]) -> dict[str, int]:
        """The signs, 0 for a bias that stands in one sum with another: they move as one."""
        at_rest = self.value(node)

        def as_one(key: str, other: str) -> bool:
            """Whether what one bias does, the other undoes."""
            against = -_MOVE * signs[key] * signs[other]
            return not _sign(self.value(node, {key: _MOVE, other: against}) - at_rest)

        found: dict[str, int] = {}
        for key, sign in signs.items():
            found[key] = 0 if any(as_one(key, other) for other in found) else sign
        return found

    def gates(self, terms: Iterable[Node]) -> list[Node]:
        """The factors of some terms that let something through when all weights are 0."""
        found: list[Node] = []
        waiting = list(terms)
        while waiting:
            node = waiting.pop()
            if self.value(node) > 0:
                found.append(node)
            elif node.op in ("mul", "neg"):
                waiting += node.args
            elif node.op == "div":
                waiting.append(node.args[0])
        return found


def _sign(number: float) -> int:
    return (number > 1e-12) - (number < -1e-12)
