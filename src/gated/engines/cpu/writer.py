"""What the generated loops have in common: a step's stages as C++."""

from __future__ import annotations

from collections.abc import Iterable

from gated.engines.cpu.spelling import CPP, Names, indented, literal
from gated.engines.fused.multiply import Call, calls, find
from gated.engines.fused.storage import Buffer, Kept, Moment, Place, moments_of, reads_of, single
from gated.equations.graph import Size
from gated.equations.schedule import REDUCTIONS, Stage, Sum, width_of
from gated.equations.symbols import Node


class Writer:
    """The stages of a loop as C++.

    Attributes:
        buffers: what the function is passed, in order.
        reads: where values stand that are not computed in this loop.
        writes: where values go when they are computed; the first place is where they are read.
        totals: where values are summed up over rows and steps.
        scratch: the worker's own buffers, by name.
    """

    def __init__(self, kept: Kept, stages: list[Stage], names: Names):
        self.kept, self.loop = kept, kept.loop
        self.stages, self.names = stages, names
        self.moments, self.read_at = moments_of(stages), reads_of(stages)
        self.buffers: list[Buffer] = []
        self.reads: dict[Node, list[Place]] = {}
        self.writes: dict[Node, list[Place]] = {}
        self.totals: dict[Node, list[Place]] = {}
        self.scratch: dict[str, Buffer] = {}
        self.packed: dict[tuple[int, int, int, bool], str] = {}
        self.pointers: dict[str, str] = {}

    # -- places

    def own(self, name: str, *widths: Size) -> Buffer:
        """A buffer of the worker, for its rows."""
        return self.scratch.setdefault(name, Buffer(name, "scratch", widths))

    def settle(self, wanted: Iterable[Node] = ()) -> None:
        """Give a place to whatever outlives the loop over units that computes it."""
        needed = set(wanted)
        for number, stage in enumerate(self.stages):
            homeless = [one for one in stage.sums if one.target not in self.writes]
            homeless.sort(key=lambda one: find(self.loop, one.products[0].args[0]))
            buffer = Buffer(
                f"products_{number}", "scratch", tuple(width_of(one.target) for one in homeless)
            )
            for k, one in enumerate(homeless):
                self.scratch[buffer.name] = buffer
                self.writes[one.target] = [Place(buffer, k)]
        for node, moment in self.moments.items():
            outside = any(read != moment for read in self.read_at.get(node, []))
            if node not in self.writes and (outside or node.op in REDUCTIONS or node in needed):
                buffer = self.own(f"s_{self.names.of(node)}", width_of(node))
                self.writes[node] = [Place(buffer)]

    def places(self, node: Node) -> list[Place]:
        """Where a value is read from memory: the sum of these places."""
        return self.reads[node] if node in self.reads else self.writes[node][:1]

    def pointer(self, place: Place, row: str = "r") -> str:
        """A pointer to a value of a row, counted from the worker's first."""
        buffer = place.buffer
        stride, offset = self.stride(buffer), self.offset(place)
        start = "" if offset == "0" else f" + {offset}"
        match buffer.kind:
            case "timed":
                return f"w.{buffer.name} + (at + {row}) * {stride}{start}"
            case "rows":
                return f"w.{buffer.name} + (first + {row}) * {stride}{start}"
            case "before":
                name = buffer.name.removeprefix("before_")
                return f"rows.state(w.state_{name}, w.initial_{name}, {stride}, t, first + {row})"
            case "maybe":  # an array that may be missing counts as zeros
                return f"w.{buffer.name} ? w.{buffer.name} + (at + {row}) * {stride} : w.zeros"
            case "turn":
                return f"{buffer.name}.data + (slot + {row}) * {stride}{start}"
            case "total":
                return f"w.{buffer.name} + me * {stride}"
            case "vector":
                return f"w.{buffer.name}{start}"
            case _:
                return f"{buffer.name}.data + {row} * {stride}{start}"

    def local(self, place: Place) -> str:
        """The name of a pointer to a value of row r, declared before the stage's loops."""
        return self.pointers.setdefault(self.pointer(place), f"p{len(self.pointers)}")

    def size(self, size: Size) -> str:
        """A size in C++."""
        if isinstance(size, int):
            return str(size)
        letter, _, parts = size.partition("/")
        name = f"size_{letter}"  # a prefix, as for every name that is not ours
        return f"({name}/{parts})" if parts else name

    def sum_of(self, widths: Iterable[Size]) -> str:
        """The sum of some sizes in C++."""
        counts: dict[str, int] = {}
        for width in widths:
            counts[self.size(width)] = counts.get(self.size(width), 0) + 1
        terms = [name if count == 1 else f"{count} * {name}" for name, count in counts.items()]
        return terms[0] if len(terms) == 1 and "*" not in terms[0] else f"({' + '.join(terms)})"

    def stride(self, buffer: Buffer) -> str:
        """How far apart the rows of a buffer are."""
        return self.sum_of(buffer.widths)

    def offset(self, place: Place) -> str:
        """Where a value begins in its buffer's rows."""
        before = place.buffer.widths[: place.index]
        return self.sum_of(before) if before else "0"

    # -- stages

    def stage_lines(self, stage: Stage) -> list[str]:
        """Products for all rows, then the passes row by row."""
        targets = {one.target: self.writes[one.target][0] for one in stage.sums}
        lines = []
        for call in calls(self.loop, stage, self.operand, targets):
            lines += self.call_lines(call)
        for one in stage.sums:
            lines += self.copies(one)
        if not stage.passes:
            return lines
        self.pointers = {}
        body = []
        number = self.stages.index(stage)
        for p, widths in enumerate(stage.passes):
            for size in sorted(widths, key=lambda size: size != 1):
                body += self.over_units((number, p, size), widths[size])
        declared = [f"real* const {name} = {p};" for p, name in self.pointers.items()]
        return [
            *lines,
            "for (index_t r = 0; r < count; ++r) {",
            *indented([*declared, *body]),
            "}",
        ]

    def operand(self, node: Node) -> Place:
        """What a product multiplies: it stands in one place."""
        (place,) = self.places(node)
        return place

    def call_lines(self, call: Call) -> list[str]:
        """One product."""
        key = (call.bank, call.first, call.count, call.transposed)
        keys = self.loop.banks[call.bank].keys[call.first : call.end]
        name = self.packed.setdefault(key, f"m_{len(self.packed)}")
        how = " transposed" if call.transposed else ""
        return [
            f"// {'+ ' if call.add else ''}{', '.join(keys)}{how}",
            f"multiply(team, w.{name}, several, {self.pointer(call.operand, '0')}, "
            f"{self.stride(call.operand.buffer)}, {self.pointer(call.target, '0')}, "
            f"{self.stride(call.target.buffer)}, count, {'true' if call.add else 'false'});",
        ]

    def copies(self, one: Sum) -> list[str]:
        """A product that goes to more than one place."""
        first, *others = self.writes[one.target]
        lines = []
        for other in others:
            lines += [
                "for (index_t r = 0; r < count; ++r) {",
                f"    const real* from = {self.pointer(first)};",
                f"    real* to = {self.pointer(other)};",
                f"    for (index_t u = 0; u < {self.size(first.width)}; ++u) to[u] = from[u];",
                "}",
            ]
        return lines

    def over_units(self, moment: Moment, nodes: list[Node]) -> list[str]:
        """One loop over the units of a row: it loads, computes and stores, in this order."""
        width = moment[2]
        reduced = [node for node in nodes if node.op in REDUCTIONS and not of_ones(node)]
        sums = ", ".join(self.names.of(node) for node in reduced)
        once: list[str] = []
        loads: list[str] = []
        body: list[str] = []
        stores: list[str] = []
        for arg in dict.fromkeys(arg for node in nodes for arg in node.args):
            if arg.op == "constant" or (self.moments.get(arg) == moment):
                continue
            if arg.op == "ones":
                continue
            one = width_of(arg) == 1 and width != 1
            value = " + ".join(f"{self.local(p)}[{0 if one else 'u'}]" for p in self.places(arg))
            (once if one else loads).append(f"const real {self.names.of(arg)} = {value};")
        for node in nodes:
            if of_ones(node):
                continue
            name = self.names.of(node)
            args = [self.value(arg) for arg in node.args]
            if node.op in REDUCTIONS:
                body.append(f"{name} += {args[0]};")
                continue
            note = f"  // {node.name}" if node.name else ""
            body.append(f"const real {name} = {CPP[node.op].format(*args)};{note}")
            stores += [f"{self.local(p)}[u] = {name};" for p in self.writes.get(node, [])]
            stores += [f"{self.local(p)}[u] += {name};" for p in self.totals.get(node, [])]
        return [
            "{",
            *indented([
                *once,
                *(f"real {self.names.of(node)} = 0;" for node in reduced),
                "#pragma omp simd" + (f" reduction(+:{sums})" if reduced else ""),
                f"for (index_t u = 0; u < {self.size(width)}; ++u) {{",
                *indented([*loads, *body, *stores]),
                "}",
                *self.reductions(nodes, width),
            ]),
            "}",
        ]  # fmt: skip

    def reductions(self, nodes: list[Node], width: Size) -> list[str]:
        """What a loop over units has summed up goes to its place."""
        lines = []
        for node in nodes:
            if node.op not in REDUCTIONS:
                continue
            value = self.names.of(node)
            if of_ones(node):
                value = self.size(width_of(node.args[0]))
            elif node.op == "mean":
                value += f" / {self.size(width)}"
            lines += [f"{self.local(p)}[0] = {value};" for p in self.writes[node]]
        return lines

    def value(self, node: Node) -> str:
        """An operand: a local variable or a number."""
        if node.op == "ones":
            return "real(1)"
        return literal(node.value) if node.op == "constant" else self.names.of(node)

    def at_unit(self, node: Node) -> str:
        """Unit u of row r of a value in memory, outside the stages' loops."""
        if node.op == "constant":
            return literal(node.value)
        unit = "0" if width_of(node) == 1 else "u"
        return " + ".join(f"({self.pointer(place)})[{unit}]" for place in self.places(node))


def of_ones(node: Node) -> bool:
    """Whether a node counts the units."""
    return node.op == "sum" and node.args[0].op == "ones"


def state_before(name: str, size: Size) -> Place:
    """The state of the step before, where all steps' states are kept."""
    return single(f"before_{name}", "before", size)
