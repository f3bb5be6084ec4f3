"""The products of a stage, as few as there can be.

The library multiplies one or many matrices at a time, so what stands together in a bank is one
product: matrices of one operand are stacked, transposed ones with one sum stand side by side, and
others, as blocks, are a batch, each with an operand and a result of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from gated.engines.fused.multiply import find
from gated.engines.fused.storage import Place
from gated.equations.loop import Forward
from gated.equations.schedule import TRANSPOSED, Stage
from gated.equations.symbols import Node


@dataclass(frozen=True)
class Product:
    """Matrices of a bank, from number `first` on, times what stands at `operand` and after it."""

    bank: int
    first: int
    count: int
    transposed: bool
    batched: bool
    operand: Place
    target: Place


@dataclass(frozen=True)
class Term:
    """One product with a matrix: number `number` of a bank; `target` is the sum it belongs to."""

    bank: int
    number: int
    node: Node
    target: Node

    @property
    def operand(self) -> Node:
        """What the matrix is multiplied with."""
        return self.node.args[1]

    @property
    def blocks(self) -> bool:
        """Whether the matrix is one of blocks."""
        return self.node.op.startswith("blocks")

    @property
    def transposed(self) -> bool:
        """Whether the matrix is transposed."""
        return self.node.op in TRANSPOSED


Run = tuple[bool, list[Term]]  # whether it is a batch, and terms whose matrices follow each other


def runs(loop: Forward, stage: Stage) -> list[Run]:
    """The products of a stage."""
    terms = [
        Term(*find(loop, product.args[0]), product, one.target)
        for one in stage.sums
        for product in one.products
    ]

    def kind(term: Term) -> tuple[int, bool, bool]:
        # what is carried from step to step does not stand beside what is computed in this one
        return term.bank, term.transposed, term.operand.op == "state"

    terms.sort(key=lambda term: (*kind(term), term.number))
    return [run for _, group in groupby(terms, kind) for run in _of_bank(list(group))]


def _of_bank(terms: list[Term]) -> list[Run]:
    numbers = [term.number for term in terms]
    follow = numbers == list(range(numbers[0], numbers[0] + len(terms)))
    stacked = list(_stacked(terms))
    if terms[0].blocks or len(stacked) > 1:
        return [(True, terms)] if follow else [(term.blocks, [term]) for term in terms]
    return [(False, run) for run in stacked]


def _stacked(terms: Iterable[Term]) -> Iterable[list[Term]]:
    """Terms that are one product without a batch."""
    waiting = list(terms)
    while waiting:
        run = [waiting.pop(0)]
        for term in list(waiting):
            if _follows(run[-1], term):
                run.append(term)
                waiting.remove(term)
        yield run


def _follows(one: Term, other: Term) -> bool:
    if other.number != one.number + 1:
        return False
    if one.transposed:
        return one.target is other.target
    return one.operand is other.operand
