"""Equations as JavaScript: one loop over the units for each, one call for each product."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from gated.equations.dims import Size, sizes
from gated.equations.graph import Graph
from gated.equations.javascript.names import Names, literal, quoted
from gated.equations.ops import CALL, NOT_FOR_PAGES, OPS, PRODUCT
from gated.equations.symbols import Node
from gated.errors import CellError

__all__ = ["WHOLE", "Writer", "size_of"]

# what needs all units of its operands at once
WHOLE = {name for name, op in OPS.items() if op.shape != "elementwise"} | {"normalize"}


class Writer:
    """The body of a function that computes nodes of a cell's graph.

    Attributes:
        graph: the cell's graph.
        lines: what is written so far.
        arrays: the variable that holds a node's values, for those that stand in one.
        wishes: names for nodes that the cell gives none.
    """

    def __init__(self, graph: Graph, *arguments: str):
        self.graph = graph
        self.lines: list[str] = []
        self.arrays: dict[Node, str] = {}
        self.wishes: dict[Node, str] = {}
        self.names = Names(*arguments)
        self._lengths: dict[str, str] = {}
        self._shared: set[Node] = set()

    # -- what the function is given

    def take(self, node: Node, source: str, key: str, wish: str = "") -> None:
        """Take an array from an argument; the letters of its shape that are not known follow."""
        unknown = self._unknown(node)
        name = self.names.of(node, wish or key)
        length = "" if unknown else f", {self.product(size_of(node))}"
        self.lines.append(f"const {name} = take({source}, {quoted(key)}{length});")
        self.arrays[node] = name
        if unknown:
            self._find(unknown, size_of(node), name)

    def _unknown(self, node: Node) -> list[Size]:
        """The sizes of a node whose letter has no length yet."""
        return [size for size in size_of(node) if letter(size) not in (*self._lengths, "")]

    def _tells(self, node: Node) -> int:
        """0 if all sizes of a node are known, 1 if it tells the one that is not, 2 if it cannot."""
        unknown = self._unknown(node)
        return 2 if unknown[1:] or unknown != [letter(size) for size in unknown] else len(unknown)

    def _find(self, unknown: list[Size], shape: tuple[Size, ...], name: str) -> None:
        """The length of a letter, from that of an array."""
        new = str(unknown[0])
        if unknown != [letter(new)]:
            raise CellError(
                f"cell {self.graph.cell}: a page cannot tell how many units {letter(new)} are; "
                f"make it the size of an input or of a state"
            )
        known = [size for size in shape if size != new]
        divisor = f" / ({self.product(known)})" if known else ""
        self._lengths[new] = length = self.names.of(("length", new), new)
        self.lines.append(f"const {length} = {name}.length{divisor};")

    def leaves(self, nodes: Iterable[Node]) -> None:
        """Take all inputs and states, and the parameters among `nodes`."""
        for node in self.graph.inputs.values():
            self.take(node, "inputs", node.label)
        for node in self.graph.previous.values():
            self.take(node, "states", node.label, f"last_{node.label}")
        wanted = {node.label: node for node in nodes if node.op == "parameter"}
        waiting = {p.key: wanted[p.key] for p in self.graph.parameters if p.key in wanted}
        while waiting:  # a length that no input and no state has is that of a parameter
            key = min(waiting, key=lambda key: self._tells(waiting[key]))
            self.take(waiting.pop(key), "parameters", key, key.replace(".", "_"))

    # -- sizes

    def length(self, size: Size) -> str:
        """A size in JavaScript."""
        if isinstance(size, int):
            return str(size)
        name, _, parts = size.partition("/")
        return f"{self._lengths[name]} / {parts}" if parts else self._lengths[name]

    def product(self, shape: Iterable[Size]) -> str:
        """The number of elements of a shape in JavaScript."""
        number, letters = Fraction(1), []
        for size in shape:
            name, _, parts = str(size).partition("/")
            if name.isdecimal():
                number *= int(name)
            else:
                number /= int(parts or 1)
                letters.append(self._lengths[name])
        factors = [str(number.numerator)] if number.numerator > 1 or not letters else []
        divisor = f" / {number.denominator}" if number.denominator > 1 else ""
        return " * ".join([*factors, *letters]) + divisor

    # -- equations

    def plan(self, roots: Iterable[Node]) -> None:
        """Give an array of its own to each of `roots`, and to what several equations need."""
        shared, seen = set(roots), set(self.arrays)
        waiting, read = list(shared), set[Node]()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            waiting += node.args
            for arg in node.args:
                (shared if arg in read else read).add(arg)
        self._shared = {n for n in shared if n.op in OPS and n.op != "ones" and not _counts(n)}

    def array(self, node: Node) -> str:
        """The variable that holds a node's values, written if it is not there yet."""
        if node not in self.arrays:
            self._operands(node)
            wish = node.name or self.wishes.get(node) or self._wish(node)
            value = self._call(node) if node.op in WHOLE else None
            name = self.names.of(node, wish)
            if value is not None:
                self.lines.append(f"const {name} = {value};")
            else:
                self._loop(name, node)
            self.arrays[node] = name
        return self.arrays[node]

    def _operands(self, node: Node) -> None:
        """Write the arrays that an equation reads."""
        for arg in node.args:
            if node.op in WHOLE or self._stands(arg):
                if not _counts(node):
                    self.array(arg)
            else:
                self._operands(arg)

    def _stands(self, node: Node) -> bool:
        """Whether a node stands in an array of its own rather than in its reader's equation."""
        if node.op == "constant" or _counts(node):
            return False
        return bool(node in self.arrays or node.name or node.op in WHOLE or node in self._shared)

    def _call(self, node: Node) -> str:
        op = OPS[node.op]
        if op.javascript == NOT_FOR_PAGES:
            raise CellError(
                f"cell {self.graph.cell}: it holds the operation {node.op}, and pages compute with "
                f"vectors, not with images; write a program for the cell without convolutions"
            )
        heads = size_of(node.args[0])[0] if op.name.startswith("blocks") else 1
        return op.javascript.format(*(self.array(arg) for arg in node.args), heads=heads)

    def _loop(self, name: str, node: Node) -> None:
        """An equation that holds unit by unit."""
        shape = size_of(node)
        if shape == (1,):
            self.lines.append(f"const {name} = Float64Array.of({self._operation(node, '0')[0]});")
            return
        self.lines += [
            f"const {name} = new Float64Array({self.product(shape)});",
            f"for (let u = 0; u < {name}.length; u++) {name}[u] = {self._operation(node, 'u')[0]};",
        ]

    def at(self, node: Node, unit: str, least: int = 0) -> str:
        """A value at one unit, in parentheses if it binds less than `least`."""
        if node.op == "constant":
            written, binds = literal(node.value), CALL if node.value >= 0 else PRODUCT
        elif _counts(node):
            written, binds = self.product(size_of(node.args[0].args[0])), PRODUCT
        elif self._stands(node):
            return f"{self.arrays[node]}[{0 if size_of(node) == (1,) else unit}]"
        else:
            written, binds = self._operation(node, unit)
        return f"({written})" if binds < least or (least and written[0] == "-") else written

    def _operation(self, node: Node, unit: str) -> tuple[str, int]:
        op = OPS[node.op]
        inside = 0 if op.binds == CALL else op.binds
        args = [self.at(arg, unit, inside and inside + (i > 0)) for i, arg in enumerate(node.args)]
        if node.op == "neg":
            args = [self.at(node.args[0], unit, CALL)]
        return op.javascript.format(*args), op.binds

    def _wish(self, node: Node) -> str:
        """A name for what the cell gives none: "W_i_x", "tanh_c"."""
        words = [self.arrays.get(arg, "") for arg in node.args]
        if node.op not in ("matmul", "blocks"):
            words = [node.op, *words]
        wish = "_".join(words)
        return wish if all(words) and len(wish) <= 24 else node.op


def letter(size: Size) -> str:
    """The letter in a size, empty if it is a number."""
    return size.partition("/")[0] if isinstance(size, str) else ""


def size_of(node: Node) -> tuple[Size, ...]:
    """The shape of a node's values; a number is a vector of one unit."""
    return sizes(node.shape) or (1,)


def _counts(node: Node) -> bool:
    """Whether a node is the number of units of another."""
    return node.op == "sum" and node.args[0].op == "ones"
