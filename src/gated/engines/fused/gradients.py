"""The gradients of inputs and matrices: large products of what the loops left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Place
from gated.engines.indices import on_device
from gated.equations.graph import length
from gated.equations.stacks import Bank
from gated.equations.symbols import Node

if TYPE_CHECKING:
    from gated.engines.fused.loops import Inputs, Loops


def of_streams(
    loops: Loops, given: Inputs, made: Mapping[str, Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the streams: of each one's operand, matrix and what is added."""
    found: list[Tensor | None] = []
    for k, (operand, matrix, _) in enumerate(given.streams):
        over = f"grad_stream_{k}" not in made
        gradient = made[f"stream_{k}" if over else f"grad_stream_{k}"]
        x, w, b = wanted[3 * k : 3 * k + 3]
        found.append(loops.transposed_times(matrix, gradient) if x else None)
        to_matrix = torch.empty_like(matrix) if w else None
        to_added = matrix.new_empty(len(matrix)) if b else None
        if to_matrix is not None:
            loops.outer_sum(gradient, operand, to_matrix, add=False, sums=to_added)
        elif to_added is not None:
            torch.sum(gradient, 0, out=to_added)
        found += [to_matrix, to_added]
    return found


def of_matrices(
    loops: Loops, sizes: Mapping[str, int], rows: Rows, given: Inputs,
    made: Mapping[str, Tensor], wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of the banks: one large product for what stands side by side."""
    loop, outer = loops.loop, loops.back.outer
    found: list[Tensor | None] = []
    values = _Values(loops, sizes, rows, given, made)
    for bank, matrices, needed in zip(loop.banks, given.banks, wanted, strict=False):
        if not needed:
            found.append(None)
            continue
        total = (
            torch.zeros_like(matrices) if _gaps(outer, bank.keys) else torch.empty_like(matrices)
        )
        rows_each = len(total) // len(bank.keys)
        for start, count in _runs(loops, bank, dense=total.dim() == 2):
            whole = count == len(bank.keys)
            block = total if whole else total[start * rows_each : (start + count) * rows_each]
            for number, (gradient, operand) in enumerate(outer.get(bank.keys[start], [])):
                values.outer(block, gradient, operand, count, add=number > 0)
        found.append(total)
    return found


def _gaps(outer: Mapping[str, list[tuple[Node, Node]]], keys: Sequence[str]) -> bool:
    return any(not outer.get(key) for key in keys)


@lru_cache(maxsize=256)
def _runs(loops: Loops, bank: Bank, *, dense: bool) -> list[tuple[int, int]]:
    """Matrices whose gradients are one product: the first of each run, and how many."""
    found, start = [], 0
    while start < len(bank.keys):
        count = _side_by_side(loops, bank.keys[start:]) if dense else 1
        found.append((start, count))
        start += count
    return found


def _side_by_side(loops: Loops, keys: Sequence[str]) -> int:
    """How many of the first matrices have gradients side by side, of products of one value."""
    outer, products = loops.back.outer, loops.products
    first = outer.get(keys[0], [])
    if len(first) != 1:
        return 1
    start = products[first[0][0]]
    count = 1
    for key in keys[1:]:
        pairs = outer.get(key, [])
        if len(pairs) != 1 or pairs[0][1] is not first[0][1]:
            break
        place = products[pairs[0][0]]
        if place.buffer != start.buffer or place.index != start.index + count:
            break
        count += 1
    return count


class _Values:
    """What the loops left in memory, as tensors."""

    def __init__(
        self, loops: Loops, sizes: Mapping[str, int], rows: Rows, given: Inputs,
        made: Mapping[str, Tensor],
    ):  # fmt: skip
        self.loops, self.sizes, self.rows, self.made = loops, sizes, rows, made
        states = loops.loop.graph.states
        self.initial = {s.name: t for s, t in zip(states, given.initial, strict=True)}
        self.gathered: dict[str, Tensor] = {}

    def at(self, place: Place, count: int = 1) -> Tensor:
        """Some values that stand side by side, over all steps."""
        buffer = place.buffer
        before = sum(length(width, self.sizes) for width in buffer.widths[: place.index])
        own = buffer.widths[place.index : place.index + count]
        return self.made[buffer.name].narrow(1, before, sum(length(n, self.sizes) for n in own))

    def outer(self, out: Tensor, gradient: Node, operand: Node, count: int, *, add: bool) -> None:
        """The sum over all steps of outer products, or that added to what stands there."""
        left = self.at(self.loops.products[gradient], count)
        if out.dim() == 3:
            heads, height, depth = out.shape
            right = self.operand(operand)
            product = torch.einsum(
                "bnr,bnk->nrk", left.reshape(-1, heads, height), right.reshape(-1, heads, depth)
            )
            out.copy_(out + product if add else product)
            return
        for part, (mine, value) in enumerate(self.pieces(left, operand)):
            self.loops.outer_sum(mine, value, out, add=add or part > 0)

    def pieces(self, left: Tensor, operand: Node) -> list[tuple[Tensor, Tensor]]:
        """Gradients and the operands that belong to them, without a copy where rows are alike."""
        if operand.op != "state" or not self.rows.full:
            return [(left, self.operand(operand))]
        states, initial = self.made[f"state_{operand.label}"], self.initial[operand.label]
        batch = self.rows.batch
        if self.rows.reverse:
            return [(left[-batch:], initial), (left[:-batch], states[batch:])]
        return [(left[:batch], initial), (left[batch:], states[:-batch])]

    def operand(self, node: Node) -> Tensor:
        """A value over all steps."""
        if node.op != "state":
            return self.at(self.loops.kept.at[node])
        name = node.label
        if name not in self.gathered:
            both = torch.cat([self.made[f"state_{name}"], self.initial[name]])
            self.gathered[name] = both.index_select(0, on_device(self.rows.before, both.device))
        return self.gathered[name]
