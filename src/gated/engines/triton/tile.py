"""Pointwise work on a tile, rows by units, as lines of Triton.

What the lines use is for the kernel around them to define:

    REAL        the type that is computed in (constexpr)
    here        which rows there are, (ROWS, 1)
    u0, u1, …   the units of each width but 1, (1, BLOCK_0): where they stand in a row of memory
    m0, m1, …   which of them there are, (1, BLOCK_0)
    SIZE_0, …   how many units a row has in all (constexpr)

`Tile.unit` tells the number of a width; a width of 1 has one column, no units and no mask.

Tensor cores want two neighbouring units of every eighth row in a thread, and eight units in a warp.
Triton reads memory in whole rows; then threads would exchange what they have read, and wait for
each other twice for each value: that was 22 of the 24 barriers in a step of an LSTM. What is read
`apart`, as (ROWS / 8, BLOCK / 8, 8, 4, 2), gets from Triton just what tensor cores want. Its units
are v0, v1, … and their masks f0, f1, … in this form; rows' masks have a q_ before their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gated.engines.triton.spelling import INFIX, TRITON, Names, comment, literal
from gated.equations.graph import Size
from gated.equations.schedule import REDUCTIONS, width_of
from gated.equations.symbols import Node

# where the first unit of each row stands, (ROWS, 1): one expression, or a pointer and what each row
# adds to it, which needs no adding again and again where a loop moves the pointer only
Address = str | tuple[str, str]


class Tile:
    """Writes the work of one kernel.

    Attributes:
        names: what nodes are called.
        widths: the widths in use, each with its number, in the order in which they came up.
        defined: the nodes whose values have their names already.
        apart: whether memory is read and written as tensor cores want it.
    """

    def __init__(self, names: Names, *, apart: bool = False):
        self.names, self.apart = names, apart
        self.widths: dict[Size, int] = {}
        self.defined: set[Node] = set()

    def unit(self, width: Size) -> int:
        """The number of a width other than 1."""
        return self.widths.setdefault(width, len(self.widths))

    def units(self, width: Size) -> str:
        """What is added to the address of a row's first unit."""
        return "0" if width == 1 else f"{'v' if self.apart else 'u'}{self.unit(width)}"

    def mask(self, width: Size, rows: str = "here") -> str:
        """Which numbers of a tile there are."""
        if width == 1:
            return rows
        k = self.unit(width)
        return f"q_{rows} & f{k}" if self.apart else f"{rows} & m{k}"

    def load(self, address: Address, width: Size, rows: str = "here") -> str:
        """An expression: a tile from memory, 0 where there is nothing."""
        return self.loaded(self.load_as_stored(address, width, rows), width)

    def loaded(self, value: str, width: Size) -> str:
        """What `load_as_stored` has read, to compute with."""
        if self.apart and width != 1:
            value = f"whole({value}, ROWS, BLOCK_{self.unit(width)})"
        return f"{value}.to(REAL)"

    def load_as_stored(self, address: Address, width: Size, rows: str = "here") -> str:
        """A tile in the memory's type: who converts a number waits until it is there."""
        return f"tl.load({self._at(address, width)}, mask={self.mask(width, rows)}, other=0.0)"

    def _at(self, address: Address, width: Size) -> str:
        if isinstance(address, str):
            return f"{address} + {self.units(width)}"
        return f"{address[0]} + ({address[1]} + {self.units(width)})"

    def load_vector(self, address: str, width: Size) -> str:
        """An expression: units that are the same for all rows, (1, BLOCK)."""
        if width == 1:
            return f"tl.load({address}).to(REAL)"
        k = self.unit(width)
        return f"tl.load({address} + u{k}, mask=m{k}, other=0.0).to(REAL)"

    def store(self, address: Address, width: Size, value: str, rows: str = "here") -> str:
        """A line: a tile goes to memory, in the memory's type."""
        if self.apart and width != 1:
            value = f"apart({value}, ROWS, BLOCK_{self.unit(width)})"
        return f"tl.store({self._at(address, width)}, {value}, mask={self.mask(width, rows)})"

    def work(
        self,
        nodes: Iterable[Node],
        reads: Mapping[Node, str],
        writes: Mapping[Node, Sequence[Address]],
    ) -> list[str]:
        """Lines that compute nodes, given in an order in which operands come first.

        Args:
            reads: for each operand that is not computed here, an expression to read it once.
            writes: where results go: addresses as for `store`.
        """
        lines = []
        for node in nodes:
            lines += self.operands(node.args, reads)
            if node.op == "ones":
                continue
            lines.append(f"{self.names.of(node)} = {self.value(node)}{_note(node)}")
            self.defined.add(node)
            for address in writes.get(node, ()):
                lines.append(self.store(address, width_of(node), self.names.of(node)))
        return lines

    def operands(self, nodes: Iterable[Node], reads: Mapping[Node, str]) -> list[str]:
        """Lines that read what has no name yet."""
        lines = []
        for node in nodes:
            if node in self.defined or node not in reads:
                continue
            lines.append(f"{self.names.of(node)} = {reads[node]}{_note(node)}")
            self.defined.add(node)
        return lines

    def value(self, node: Node) -> str:
        """The right-hand side of a node."""
        if node.op in REDUCTIONS:
            return self._reduced(node)
        args = [self.operand(arg, whole=node.op not in INFIX) for arg in node.args]
        return TRITON[node.op].format(*args)

    def operand(self, node: Node, *, whole: bool = False) -> str:
        """An operand: a name or a number; `whole` makes a tile of a number."""
        if node.op == "ones":  # as many as there are units, since they may be summed up
            width = width_of(node)
            block = "1" if width == 1 else f"BLOCK_{self.unit(width)}"
            return f"tl.full((1, {block}), 1.0, REAL)"
        if node.op != "constant":
            return self.names.of(node)
        number = literal(node.value)
        if whole:
            return f"tl.full((1, 1), {number}, REAL)"
        return f"({number})" if number.startswith("-") else number

    def _reduced(self, node: Node) -> str:
        """A sum or mean over units."""
        (arg,) = node.args
        width = width_of(arg)
        count = "1" if width == 1 else f"SIZE_{self.unit(width)}"
        if arg.op == "ones":
            return f"tl.full((1, 1), {count}, REAL)"
        if width == 1:
            return self.operand(arg)
        k = self.unit(width)
        whole = f"total({self.operand(arg)}, m{k}, BLOCK_{k} == SIZE_{k})"
        return whole if node.op == "sum" else f"{whole} / {count}"


def _note(node: Node) -> str:
    name = node.name or node.label
    return f"  {comment(name)}" if name else ""
