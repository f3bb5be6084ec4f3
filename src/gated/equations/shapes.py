"""How shapes combine in an operation, found by use: an open axis becomes what it meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gated.equations.dims import Dim, Shape, unify
from gated.equations.ops import OPS
from gated.errors import CellError

if TYPE_CHECKING:
    from gated.equations.symbols import Node


def describe(node: Node) -> str:
    """How a message names a node."""
    return node.name or node.label or (f"{node.value:g}" if node.op == "constant" else node.op)


def kind(shape: Shape) -> str:
    """How a message names a shape."""
    return ("a number", "a vector", "a matrix")[min(len(shape), 2)]


def as_matrix(node: Node) -> None:
    """What stands left of @ is a matrix; a parameter that was used nowhere yet becomes one."""
    if node.op == "parameter" and node.shape == ():
        node.shape = (Dim(), Dim())
    if len(node.shape) < 2:
        raise CellError(
            f"{describe(node)} is {kind(node.shape)}, left of @ must stand a matrix, as in W.i @ x"
        )


def result_shape(op: str, args: tuple[Node, ...]) -> Shape:
    """The shape of an operation's result.

    Raises:
        CellError: the operands do not fit each other.
    """
    rule = OPS[op].shape
    if rule == "elementwise":
        return _elementwise(op, args)
    if rule == "reduce":
        return (Dim(1),)
    if rule == "outer":
        return (args[0].shape[0], args[1].shape[0])
    if rule == "like":
        return args[0].shape
    rows, columns = _whole(args[0]) if rule.startswith("blocks") else args[0].shape[:2]
    if rule.endswith("_t"):
        rows, columns = columns, rows
    vector = args[1]
    if len(vector.shape) != 1:
        got = kind(vector.shape)
        raise CellError(f"right of @ must stand a vector, {describe(vector)} is {got}")
    if not unify(columns, vector.shape[0]):
        raise CellError(
            f"shape mismatch: {describe(args[0])} has shape ({rows}, {columns}), it multiplies "
            f"{describe(vector)} of {vector.shape[0]} units"
        )
    return (rows,)


def _whole(blocks: Node) -> Shape:
    """Rows and columns of a block-diagonal matrix: ("H", "D") of (4, "H/4", "D/4")."""
    count, *parts = (dim.value for dim in blocks.shape)
    return tuple(
        Dim(part.split("/")[0] if isinstance(part, str) else int(part or 1) * int(count or 1))
        for part in parts
    )


def _elementwise(op: str, args: tuple[Node, ...]) -> Shape:
    if any(len(arg.shape) > 1 for arg in args):
        return _matrices(op, args)
    result: Shape = ()
    for arg in args:
        if not result or (result[0].value == 1 and arg.shape):
            result = arg.shape
        elif arg.shape and arg.shape[0].value != 1 and not unify(result[0], arg.shape[0]):
            raise CellError(
                f"shape mismatch: {describe(args[0])} has {args[0].shape[0]} units, "
                f"{describe(arg)} has {arg.shape[0]}"
            )
    return result


def _matrices(op: str, args: tuple[Node, ...]) -> Shape:
    """The shape of a sum of gradients of one matrix."""
    first = args[0].shape
    for arg in args:
        same = len(arg.shape) == len(first) and all(map(unify, arg.shape, first))
        if op not in ("add", "neg") or not same:
            raise CellError(f"{op} of {' and '.join(kind(a.shape) for a in args)} has no meaning")
    return first
