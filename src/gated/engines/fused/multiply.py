"""The matrix products of a stage as few calls: what stands side by side is multiplied at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gated.engines.fused.storage import Place
from gated.equations.loop import Forward
from gated.equations.schedule import Stage
from gated.equations.symbols import Node


@dataclass(frozen=True)
class Call:
    """Some matrices of a bank, one below the other, times a value.

    `count` matrices from number `first` of bank `bank`; `target` is where the first one's product
    goes, `operand` what is multiplied, where transposed the first of `count` values.
    """

    bank: int
    first: int
    count: int
    transposed: bool
    operand: Place
    target: Place
    add: bool

    @property
    def end(self) -> int:
        """The number of the matrix after its last."""
        return self.first + self.count


def calls(
    loop: Forward, stage: Stage, operands: Callable[[Node], Place], targets: Mapping[Node, Place]
) -> list[Call]:
    """The calls for the products of a stage."""
    found: list[Call] = []
    for one in stage.sums:
        for k, product in enumerate(_in_order(loop, one.products)):
            bank, number = find(loop, product.args[0])
            call = Call(
                bank, number, 1, product.op.endswith("_t"), operands(product.args[1]),
                targets[one.target], k > 0,
            )  # fmt: skip
            found.append(call)
    merged: list[Call] = []
    dense = {k for k, bank in enumerate(loop.banks) if len(loop.matrices[bank.keys[0]].shape) == 2}
    # calls that add come after those that write, in whatever order else
    for call in sorted(found, key=lambda call: (call.add, call.bank, call.first)):
        last = next((c for c in merged if call.bank in dense and _follows(c, call)), None)
        if last is None:
            merged.append(call)
        else:
            merged[merged.index(last)] = replace(last, count=last.count + 1)
    return merged


def find(loop: Forward, matrix: Node) -> tuple[int, int]:
    """The bank of a matrix, and its number there."""
    for k, bank in enumerate(loop.banks):
        if matrix.label in bank.keys:
            return k, bank.keys.index(matrix.label)
    raise AssertionError(matrix.label)


def _in_order(loop: Forward, products: tuple[Node, ...]) -> list[Node]:
    return sorted(products, key=lambda product: find(loop, product.args[0]))


def _follows(one: Call, other: Call) -> bool:
    """Whether the second call's matrix, operand and target come right after those of the first."""
    if (one.bank, one.end, one.transposed) != (other.bank, other.first, other.transposed):
        return False
    if one.transposed:
        side_by_side = _right_after(one.operand, other.operand, one.count)
        return side_by_side and one.target == other.target and (other.add or not one.add)
    return (
        one.operand == other.operand
        and one.add == other.add
        and _right_after(one.target, other.target, one.count)
    )


def _right_after(one: Place, other: Place, count: int) -> bool:
    return one.buffer == other.buffer and one.index + count == other.index
