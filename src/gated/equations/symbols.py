"""The symbols that equations are written with: `W.i @ x + U.i @ h + b.i`, `sigmoid(...)`.

Operators on symbols build a graph of `Node`s; shapes are checked as the graph grows, so that a
mismatch is reported at the line that caused it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from gated.equations.dims import Dim, Shape, Size, shape
from gated.equations.ops import OPS
from gated.equations.shapes import as_matrix, describe, result_shape
from gated.errors import CellError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def check_name(name: str, what: str) -> str:
    """Return `name` if it is of the form letter, then letters, digits and underscores."""
    if not isinstance(name, str) or not NAME.match(name):
        raise CellError(_not_a_name(name, what))
    return name


def _not_a_name(name: object, what: str) -> str:
    return f"{what} {name!r} is not a name: use a letter, then letters, digits or underscores"


class Expr:
    """Whatever may stand in an equation; its operators build the graph."""

    # numpy must not try to broadcast over a symbol
    __array_ufunc__ = None

    def node(self) -> Node:
        """The graph node this stands for."""
        raise NotImplementedError

    def __add__(self, other: Operand) -> Node:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Node:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Node:
        return apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Node:
        return apply("sub", other, self)

    def __mul__(self, other: Operand) -> Node:
        return apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Node:
        return apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Node:
        return apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Node:
        return apply("div", other, self)

    def __neg__(self) -> Node:
        return apply("neg", self)

    def __matmul__(self, other: Operand) -> Node:
        return apply("matmul", self, other)

    def __bool__(self) -> bool:
        raise CellError("equations have no branches: `if` and `and` cannot ask a symbol's value")

    def __lt__(self, other: object) -> bool:
        raise CellError(
            "equations have no branches: a comparison cannot ask a symbol's value; use "
            "select(a - b, then, otherwise), maximum or minimum"
        )

    __gt__ = __le__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        # `if h == 0:` would quietly take one branch; outside a step, graphs compare by identity
        if _active.get() is not None:
            raise CellError("equations have no branches: `==` cannot ask a symbol's value")
        return self is other

    __hash__ = object.__hash__


Operand = Expr | float | int


@dataclass(eq=False, repr=False)
class Node(Expr):
    """One node of the graph: an operation on nodes, or a leaf.

    `op` is a name in `OPS`, or one of the leaves: input, state (the previous step's), parameter,
    constant, seed (a gradient that comes from outside). `label` names what the leaf stands for,
    `name` is the name that the step gave to the result.
    """

    op: str
    args: tuple[Node, ...] = ()
    shape: Shape = ()
    label: str = ""
    value: float = 0.0
    symbol: Symbol | None = None
    name: str | None = None
    line: int = 0

    def node(self) -> Node:
        """Itself."""
        return self

    def __repr__(self) -> str:
        # short: what lies below is shared, and written out it grows exponentially
        shape = ", ".join(map(str, self.shape))
        return f"<{self.op} {describe(self)} ({shape})>"


def leaf(op: str, label: str, *sizes: Size) -> Node:
    """An input, a state or a seed of given sizes."""
    return Node(op, shape=shape(*sizes), label=label)


@dataclass(frozen=True, eq=False)
class Symbol(Expr):
    """A parameter: a family and a subscript, as in `W.i`, or a family alone, as in `W`."""

    family: Family
    subscript: str

    @property
    def key(self) -> str:
        """How parameters are looked up: "W.i", "W"."""
        return f"{self.family.letter}.{self.subscript}" if self.subscript else self.family.letter

    def node(self) -> Node:
        """Its one node in the step that is being traced."""
        return tracing().parameter(self)


class Family(Expr):
    """Parameters that share a letter: `W.i`, `W.f`, ...; `W` alone where there is one.

    Matrix or vector is decided by use: left of `@` it is a matrix, elsewhere a vector. `bias`
    says that a layer built with `bias=False` leaves these out, `start` the value that they have
    before training (gains start at 1); without it they are drawn at random.

    Example:
        >>> from gated.equations import Family
        >>> V = Family("V")
        >>> V.gate.key
        'V.gate'
    """

    def __init__(
        self,
        letter: str,
        *,
        latex: str | None = None,
        bias: bool = False,
        start: float | None = None,
    ):
        self.letter = check_name(letter, "parameter family")
        self.latex = latex or letter
        self.bias = bias
        self.start = start

    def __getattr__(self, subscript: str) -> Symbol:
        # An AttributeError, as hasattr, copy, pickle and notebooks probe objects for odd names.
        if not NAME.match(subscript):
            raise AttributeError(_not_a_name(subscript, "subscript"))
        return Symbol(self, subscript)

    def node(self) -> Node:
        """The family as a parameter of its own."""
        return Symbol(self, "").node()


class Tracing:
    """What is gathered while a cell's step runs on symbols."""

    def __init__(self) -> None:
        self.parameters: dict[str, Node] = {}
        self.line = 0

    def parameter(self, symbol: Symbol) -> Node:
        """The one node of a parameter."""
        node = self.parameters.get(symbol.key)
        if node is None:
            node = Node("parameter", label=symbol.key, symbol=symbol, line=self.line)
            self.parameters[symbol.key] = node
        elif node.symbol is not None and node.symbol.family is not symbol.family:
            raise CellError(f"two parameter families share the letter {symbol.family.letter}")
        return node


# A context variable, so that cells may be defined in several threads at once.
_active: ContextVar[Tracing | None] = ContextVar("_active", default=None)


def tracing() -> Tracing:
    """The step that is being traced."""
    active = _active.get()
    if active is None:
        raise CellError("parameters such as W.i have a meaning only inside a cell's step")
    return active


@contextmanager
def traced(tracing: Tracing) -> Iterator[None]:
    """Let what is applied inside the block belong to `tracing`."""
    token = _active.set(tracing)
    try:
        yield
    finally:
        _active.reset(token)


def apply(op: str, *operands: Operand) -> Node:
    """The node of an operation on operands, shapes checked."""
    args = tuple(_as_node(operand) for operand in operands)
    active = _active.get()
    if active is not None:
        _check_written(op, args)
    if OPS[op].shape == "matmul":
        as_matrix(args[0])
    for arg in args if OPS[op].shape in ("elementwise", "reduce") else args[1:]:
        if arg.op == "parameter" and arg.shape == ():
            arg.shape = (Dim(),)
    return Node(op, args, result_shape(op, args), line=active.line if active else 0)


def _check_written(op: str, args: tuple[Node, ...]) -> None:
    """Reject what only derived equations may hold: numbers alone, sums of matrices."""
    if all(arg.op == "constant" for arg in args):
        numbers = ", ".join(describe(arg) for arg in args)
        raise CellError(f"{op}({numbers}) holds no symbol: compute it in Python, as with math.exp")
    for arg in args if OPS[op].shape != "matmul" else ():
        if len(arg.shape) > 1:
            raise CellError(
                f"{describe(arg)} is a matrix, it stands where vectors do: use another name"
            )


def _as_node(operand: Operand) -> Node:
    if isinstance(operand, Expr):
        return operand.node()
    if isinstance(operand, bool) or not isinstance(operand, (int, float)):
        raise CellError(
            f"an equation holds symbols and numbers, got {operand!r} ({type(operand).__name__})"
        )
    if math.isnan(operand):
        raise CellError("an equation holds symbols and numbers, got NaN")
    return Node("constant", value=float(operand))
