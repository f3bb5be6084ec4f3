"""The loop backwards, step by step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import reduce
from operator import add

from gated.engines.fused.leaving import Leaving
from gated.engines.fused.storage import Buffer, Kept, Place
from gated.engines.triton.stepwise.ahead import read_given
from gated.engines.triton.stepwise.plan import Plan
from gated.engines.triton.tile import Tile
from gated.equations.ops import PRODUCTS
from gated.equations.schedule import TRANSPOSED, Stage, schedule, width_of
from gated.equations.symbols import Node


class Astern(Plan):
    """The loop backwards.

    The gradient of a state before a step is carried in two shares: `carried` is what kernels
    compute; products are added to it where the step before reads them, so that no kernel runs for
    this sum alone.

    Attributes:
        carried: where the first share of each state's gradient stands; shares: the others.
        summed: where a gradient is summed up over the steps, by its buffer.
    """

    def __init__(self, kept: Kept, leaving: Leaving):
        loop, self.back = kept.loop, kept.back
        known = {*loop.given, *loop.previous.values(), *self.back.seeds.values(), *self.back.kept}
        parted = {name: _parted(node, known) for name, node in self.back.carried.items()}
        roots = [node for pair in parted.values() for node in pair if node is not None]
        roots += self.back.given.values()
        roots += [gradient for pairs in self.back.outer.values() for gradient, _ in pairs]
        stages = schedule(roots, known)
        if not stages or stages[0].sums:  # what arrives is computed before it is multiplied
            stages.insert(0, Stage())
        super().__init__(loop, stages, "backward")
        self.moments |= dict.fromkeys(self.back.seeds.values(), 0)
        read_given(self, kept)
        for state in loop.graph.states:
            before = Buffer(f"state_{state.name}", "before", (state.size,))
            self.reads[loop.previous[state.name]] = [Place(before)]
        self.reads |= {node: [place] for node, place in kept.at.items()}
        for node, place in leaving.places:
            self.leave(node, place)
        self.summed: dict[str, Place] = {}
        for node, buffer in leaving.totals:
            total = Place(self.own(f"total_{buffer.name}", "scratch", *buffer.widths))
            self.summed[buffer.name] = total
            self.totals.setdefault(node, []).append(total)
        self.settle()
        self.carried: dict[str, Place] = {}
        self.shares: dict[str, list[Place]] = {}
        for name, (rest, products) in parted.items():
            several = [pair[1] for pair in parted.values()].count(products) > 1
            self.carry(name, rest, products, shared=several)
        self.write_kernels()

    def carry(self, name: str, rest: Node | None, products: Node | None, *, shared: bool) -> None:
        """The gradient of a state goes to the step before, in its shares."""
        width = width_of(self.back.seeds[name])
        place = Place(self.own(f"carried_{name}", "scratch", width))
        self.carried[name] = place
        self.shares[name] = [] if products is None else self.parts[products]
        whole = len(self.shares[name]) == 1 and len(self.shares[name][0].buffer.widths) == 1
        if rest is not None or products is None or shared or not whole:
            self.leave(rest, place)
            return
        (old,) = self.shares[name]
        del self.scratch[old.buffer.name]
        self.parts[products], self.shares[name] = [place], []
        self.products = [
            [replace(one, target=place) if one.target == old else one for one in stage]
            for stage in self.products
        ]

    def opening(self, tile: Tile, used: dict[str, Buffer]) -> list[str]:
        """The gradients that arrive: what is carried, and what the caller has for this step."""
        loop, lines = self.loop, []
        first = loop.graph.states[0].name
        for name, seed in self.back.seeds.items():
            value, width = self.names.of(seed), width_of(seed)
            carried = [self.carried[name], *self.shares[name]] if name in self.carried else []
            loads = [self.load(tile, place, used) for place in carried]
            lines.append(f"{value} = {' + '.join(loads) or 'tl.zeros((1, 1), REAL)'}")
            tile.defined.add(seed)
            if name == first or loop.traced or name not in loop.updates:
                arriving = Place(Buffer(f"d_{name}", "timed", (width,)))
                lines.append(f"if d_{name} is not None:")
                lines.append(f"    {value} += {self.load(tile, arriving, used)}")
        return lines


def _parted(node: Node | None, known: Collection[Node]) -> tuple[Node | None, Node | None]:
    """A gradient as a sum of two: of what kernels compute, and of products with matrices."""
    terms = [] if node is None else _terms(node, known)
    products = [term for term in terms if _is_product(term, known)]
    rest = [term for term in terms if not _is_product(term, known)]
    if node is not None and not rest:
        return None, node
    return reduce(add, rest) if rest else None, reduce(add, products) if products else None


def _terms(node: Node, known: Collection[Node]) -> list[Node]:
    if node.op != "add" or node in known:
        return [node]
    return [term for arg in node.args for term in _terms(arg, known)]


def _is_product(node: Node, known: Collection[Node]) -> bool:
    return node.op in (*PRODUCTS, *TRANSPOSED) and node not in known
