"""A cell's whole loop over time as one kernel: what the loops forward and backward share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gated.engines.fused.multiply import find
from gated.engines.fused.storage import Buffer, Kept, Place
from gated.engines.triton.spelling import Names, comment, indented
from gated.engines.triton.tile import Address, Tile
from gated.equations.graph import Size, sort
from gated.equations.ops import PRODUCTS
from gated.equations.schedule import Stage, Sum, width_of
from gated.equations.symbols import Node


class TimeLoop:
    """Writes one kernel: a program has some rows, and all units, one head's or a few of many.

    Beside what `Tile` wants, the text has these names: `own0` and `below0` are a program's units
    counted from its first, across and down; `k` counts steps, `t` says where they stand in time,
    `o` where they begin in memory; a1 is what step k+1 reads first, loaded a step ahead.

    Attributes:
        buffers: what the kernel is passed, in order.
        reads: where values stand that are not computed.
    """

    name: str
    stages: list[Stage]

    def __init__(self, kept: Kept, widths: Iterable[Size]):
        self.kept, self.loop = kept, kept.loop
        self.tile = Tile(Names(), apart=bool(self.loop.matrices))
        self.names = self.tile.names
        for width in widths:
            self.tile.unit(width)
        self.buffers: list[str] = []
        self.reads: dict[Node, Place] = {}
        self.matrices: dict[tuple[Node, bool], str] = {}
        self.operands: dict[Node, str] = {}

    # -- memory

    def stride(self, buffer: Buffer) -> str:
        """How far apart the rows of a buffer are."""
        return self.sum_of(buffer.widths)

    def sum_of(self, widths: Iterable[Size]) -> str:
        """Some sizes in all."""
        counts = Counter(self.size(width) for width in widths)
        return " + ".join(n if count == 1 else f"{count} * {n}" for n, count in counts.items())

    def size(self, width: Size) -> str:
        """The units of a row."""
        return "1" if width == 1 else f"SIZE_{self.tile.unit(width)}"

    def address(self, place: Place, start: str | None = None) -> Address:
        """Where a value stands in rows that begin at `start`, or in those of a batch."""
        stride = self.stride(place.buffer)
        before = self.sum_of(place.buffer.widths[: place.index])
        rows = f"{self.row(place.width)} * ({stride})" + (f" + {before}" if before else "")
        pointer = place.buffer.name
        return (pointer if start is None else f"{pointer} + {start} * ({stride})", rows)

    def row(self, width: Size) -> str:
        """The rows as a tile of a width is read and written."""
        return "q" if self.tile.apart and width != 1 else "r"

    def of_batch(self, name: str, width: Size) -> Address:
        """Where a value of the batch's rows stands."""
        return (name, f"{self.row(width)} * {self.size(width)}")

    def known_values(self) -> None:
        """What both loops are given."""
        loop, kept = self.loop, self.kept
        for stream, buffer in zip(loop.streams, kept.streams, strict=True):
            self.buffers.append(buffer.name)
            self.reads |= {node: Place(buffer, k) for k, node in enumerate(stream.nodes)}
        for k, node in enumerate(loop.loose):
            kind = "timed" if loop.given[node] else "vector"
            buffer = Buffer(f"given_{k}", kind, (width_of(node),))
            self.buffers.append(buffer.name)
            self.reads[node] = Place(buffer)
        self.buffers += [f"bank_{k}" for k in range(len(loop.banks))]
        self.buffers += [f"initial_{state.name}" for state in loop.graph.states]

    # -- lines

    def vectors(self, wanted: Iterable[Node]) -> list[str]:
        """What is the same at every step is read before the loop."""
        nodes = [n for n in wanted if n in self.reads and self.reads[n].buffer.kind == "vector"]
        texts = {n: self.tile.load_vector(self.reads[n].buffer.name, width_of(n)) for n in nodes}
        return self.tile.operands(nodes, texts)

    def work(self, roots: Iterable[Node]) -> list[str]:
        """What a step computes, with matrix products where their sums are whole."""
        sums = {one.target: one for stage in self.stages for one in stage.sums}
        computed = {
            node
            for stage in self.stages
            for widths in stage.passes
            for nodes in widths.values()
            for node in nodes
        }
        lines = []
        for node in sort(roots):
            if node in sums:
                lines += self.product(sums[node])
            elif node in computed:
                lines += self.tile.work([node], {}, {})
        return lines

    def product(self, one: Sum) -> list[str]:
        """A sum of products with matrices that are held."""
        name, lines = self.names.of(one.target), []
        held = [self.matrix(p.args[0], transposed=p.op not in PRODUCTS) for p in one.products]
        # all operands first: threads exchange them, and wait for each other once
        for product, matrix in zip(one.products, held, strict=True):
            value = product.args[1]
            if value not in self.operands:
                self.operands[value] = f"x{len(self.operands)}"
                k = self.tile.unit(width_of(value))
                lines.append(
                    f"{self.operands[value]} = operand({self.names.of(value)}, m{k}, "
                    f"BLOCK_{k} == PART_{k}, {matrix}.dtype)"
                )
        for number, (product, matrix) in enumerate(zip(one.products, held, strict=True)):
            before = name if number else "None"
            lines.append(
                f"{name} = product({self.operands[product.args[1]]}, {matrix}, {before}, "
                f"PRECISION)  {comment(product.args[0].label)}"
            )
        self.tile.defined.add(one.target)
        return lines

    def matrix(self, matrix: Node, *, transposed: bool) -> str:
        """The name under which a matrix is held."""
        return self.matrices.setdefault((matrix, transposed), f"w{len(self.matrices)}")

    def held(self) -> list[str]:
        """Lines that load the matrices; a product stands rows first, so they stand transposed."""
        lines = []
        for (matrix, transposed), name in self.matrices.items():
            bank, number = find(self.loop, matrix)
            out, into = (self.unit_of_side(matrix, side) for side in (-2, -1))
            row, column = (
                (f"below{out}", f"own{into}") if transposed else (f"own{out}", f"below{into}")
            )
            lines.append(
                f"{name} = tl.load(bank_{bank} + (({number} * HEADS + part) * PART_{out} + {row}) "
                f"* PART_{into} + {column}, mask=({row} < PART_{out}) & ({column} < PART_{into}), "
                f"other=0.0)  {comment(matrix.label)}"
            )
        return lines

    def unit_of_side(self, matrix: Node, side: int) -> int:
        """The number of the width of a matrix's rows or columns: of heads, there is but one."""
        size = matrix.shape[side].value
        return 0 if len(matrix.shape) > 2 else self.tile.unit("H" if size is None else size)

    def begin(self) -> list[str]:
        """Which rows and units a program has."""
        lines = [
            "r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]",
            "part = tl.program_id(1)",
        ]
        if self.tile.apart:
            lines.append("q = tl.program_id(0) * ROWS + rows_apart(ROWS)")
        for k in self.tile.widths.values():
            lines += [
                f"own{k} = tl.arange(0, BLOCK_{k})[None, :]",
                f"below{k} = tl.arange(0, BLOCK_{k})[:, None]",
                f"u{k} = part * PART_{k} + own{k}",
                f"m{k} = (own{k} < PART_{k}) & (u{k} < SIZE_{k})",
            ]
            if self.tile.apart:
                lines += [
                    f"v{k} = part * PART_{k} + units_apart(BLOCK_{k})",
                    f"f{k} = units_apart(BLOCK_{k}) < PART_{k}",
                ]
        return [
            *lines,
            "wide = batch.to(tl.int64)",
            *self.masks("there", "{row} < batch"),
            *self.masks("length", "reach({row}, {there}, lengths, steps, FULL)"),
            "last = steps if FULL else tl.max(length)",
        ]

    def masks(self, name: str, text: str) -> list[str]:
        """Lines that say something of each row, in both forms if there are two."""
        words = ("there", "length", "here")
        lines = [f"{name} = " + text.format(row="r", **{word: word for word in words})]
        if self.tile.apart:
            apart = {word: f"q_{word}" for word in words}
            lines.append(f"q_{name} = " + text.format(row="q", **apart))
        return lines

    def turn_of(self, *names: str) -> str:
        """A line: what was of the next step is of this one."""
        rows = [*names, *(f"q_{name}" for name in names if self.tile.apart)]
        return f"o, o1, {', '.join(rows)} = o1, o2, {', '.join(f'{row}1' for row in rows)}"

    def function(self, lines: list[str], first: list[str], body: list[str], end: list[str]) -> str:
        """The kernel: lines before the loop, those of a step, those after."""
        sizes = [
            f"{word}_{k}: tl.constexpr"
            for k in self.tile.widths.values()
            for word in ("SIZE", "PART", "BLOCK")
        ]
        flags = ["HEADS", "ROWS", "REAL", "PRECISION", "FULL", "REVERSE", "TRAINING"]
        arguments = [*self.buffers, "offsets", "lengths", "steps", "batch", *sizes]
        arguments += [f"{flag}: tl.constexpr" for flag in flags]
        return "\n".join([
            '@triton.jit(do_not_specialize=["steps", "batch"])',
            f"def {self.name}(",
            *(f"    {argument}," for argument in arguments),
            "):",
            *indented([*self.begin(), *self.held(), *lines, *first, "for k in range(last):"]),
            *indented(indented(body)),
            *indented(end),
            "",
        ])  # fmt: skip
