"""What the generated loops have in common: a step's stages as C++."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gated.equations.graph import Size
from gated.equations.loop import Forward
from gated.equations.schedule import REDUCTIONS, Stage, width_of
from gated.equations.symbols import Node


@dataclass(frozen=True)
class Array:
    """An array that a kernel is passed: what it holds, and how it is laid out.

    `kind` is timed (N, n), state or carry (B, n), vector (n,), or matrix.
    """

    node: Node | None
    name: str
    kind: str
    width: Size


@dataclass(frozen=True)
class Kernel:
    """One function of the generated source: its name, its arrays in order."""

    name: str
    arrays: list[Array]


@dataclass
class Parts:
    """What a loop has of its own around the stages, as lines of C++.

    `shared` are members that all threads see; `before` and `after` stand around the loop, `opening`
    and `closing` around the stages of a step.
    """

    backward: bool = False
    shared: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    opening: list[str] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


class Names:
    """A C++ name for each node: its own where it has one, else a number."""

    def __init__(self) -> None:
        self.found: dict[Node, str] = {}

    def of(self, node: Node) -> str:
        """The name of a node."""
        if node not in self.found:
            # a prefix keeps them apart from C++'s words and from each other
            word = node.name or node.label.replace(".", "_") or ""
            self.found[node] = f"n{len(self.found)}_{word}" if word else f"n{len(self.found)}"
        return self.found[node]


class Writer:
    """What both loops have in common: the stages as C++."""

    function = ""

    def __init__(self, loop: Forward, names: Names, letters: tuple[str, ...]):
        self.plan, self.names, self.letters = loop, names, letters
        self.matrices = loop.matrices
        self.arrays: list[Array] = []
        self.held: dict[Node, Array] = {}  # nodes that stand in an array
        self.scratch: dict[Node, Size] = {}
        self.place: dict[Node, tuple[int, int, Size]] = {}
        self.packed: dict[tuple[str, bool], str] = {}

    def add(self, node: Node | None, name: str, kind: str, width: Size) -> Array:
        """One more array that the function takes."""
        array = Array(node, name, kind, width)
        self.arrays.append(array)
        if node is not None and kind in ("timed", "vector"):
            self.held.setdefault(node, array)
        return array

    def add_inputs(self) -> None:
        """What both loops read: given values, matrices, the states before the first step."""
        for k, (node, timed) in enumerate(self.plan.given.items()):
            self.add(node, f"given_{k}", "timed" if timed else "vector", width_of(node))
        for label in self.matrices:
            self.add(None, matrix_name(label), "matrix", 0)
        for state in self.plan.graph.states:
            self.add(None, f"initial_{state.name}", "state", state.size)

    def kernel(self) -> Kernel:
        """What the function is called and takes."""
        return Kernel(self.function, self.arrays)

    def size(self, size: Size) -> str:
        """A size in C++."""
        if isinstance(size, int):
            return str(size)
        letter, _, parts = size.partition("/")
        name = f"size_{letter}"  # a prefix, as for every name that is not ours
        return f"({name}/{parts})" if parts else name

    # -- stages

    def locate(self, stages: list[Stage], roots: Iterable[Node]) -> None:
        """Note where each node is computed, and which must outlive their loop."""
        users: dict[Node, list[tuple[int, int, Size]]] = {}
        for s, stage in enumerate(stages):
            for one in stage.sums:
                self.place[one.target] = (s, -1, 0)
                if one.target not in self.held:
                    self.scratch[one.target] = width_of(one.target)
                for product in one.products:
                    users.setdefault(product.args[1], []).append((s, -1, 0))
            for p, widths in enumerate(stage.passes):
                for width, nodes in widths.items():
                    for node in nodes:
                        self.place[node] = (s, p, width)
                        for arg in node.args:
                            users.setdefault(arg, []).append((s, p, width))
        for node, place in self.place.items():
            outside = any(user != place for user in users.get(node, []))
            if node not in self.held and (outside or node.op in REDUCTIONS):
                self.scratch[node] = width_of(node)
        for root in roots:
            if root in self.place and root not in self.held:
                self.scratch.setdefault(root, width_of(root))

    def stage_lines(self, number: int, stage: Stage) -> list[str]:
        """Products for all rows, then the passes row by row."""
        lines = []
        for one in stage.sums:
            width = self.size(width_of(one.target))
            target = f"s_{self.names.of(one.target)}.data"
            if one.target in self.held:
                target = f"w.{self.held[one.target].name} + at * {width}"
            for k, product in enumerate(one.products):
                lines += self.product(product, target, width, add=k > 0)
        if not stage.passes:
            return lines
        body = []
        for p, widths in enumerate(stage.passes):
            for size in sorted(widths, key=lambda size: size != 1):
                body += self.loop((number, p, size), widths[size])
        pointers = self.pointers([n for w in stage.passes for nodes in w.values() for n in nodes])
        return [
            *lines,
            "for (index_t r = 0; r < count; ++r) {",
            *indented([*pointers, *body]),
            "}",
        ]

    def product(self, product: Node, target: str, width: str, *, add: bool) -> list[str]:
        """One product of a sum."""
        matrix, operand = product.args
        transposed = product.op.endswith("_t")
        packed = self.packed.setdefault(
            (matrix.label, transposed), f"m_{len(self.packed)}_{matrix.label.replace('.', '_')}"
        )
        n = self.size(width_of(operand))
        flag = "true" if add else "false"
        note = f"// {'+' if add else ''} {matrix.label}{' transposed' if transposed else ''}"
        lines = [note]
        for start, rows, source in self.operand(operand):
            if rows != "count":
                lines.append(f"if ({rows} > 0)")
            lines.append(
                f"multiply(w.{packed}, {source}, {n}, {target} + ({start}) * {width}, {width}, "
                f"{rows}, {flag});"
            )
        return lines

    def operand(self, node: Node) -> list[tuple[str, str, str]]:
        """Pieces (first row, rows, pointer) of a vector over this step's rows."""
        if node.op == "state":
            n = self.size(width_of(node))
            over = f"w.state_{node.label} + (rows.offsets[rows.before(t)] + first) * {n}"
            initial = f"w.initial_{node.label} + (first + going) * {n}"
            return [("0", "going", over), ("going", "count - going", initial)]
        if node in self.held:
            array = self.held[node]
            return [("0", "count", f"w.{array.name} + at * {self.size(array.width)}")]
        return [("0", "count", f"s_{self.names.of(node)}.data")]

    def pointers(self, nodes: list[Node]) -> list[str]:
        """A pointer for one row to everything that the passes read or write in memory."""
        wanted: dict[Node, None] = {}
        for node in nodes:
            if node in self.held or node in self.scratch:
                wanted.setdefault(node)
            for arg in node.args:
                if arg.op != "constant" and self.in_memory(arg):
                    wanted.setdefault(arg)
        return [line for node in wanted for line in self.pointer(node)]

    def in_memory(self, node: Node) -> bool:
        """Whether a value stands in an array or in scratch memory."""
        return node in self.held or node in self.scratch or node not in self.place

    def pointer(self, node: Node) -> list[str]:
        """A pointer to one row of a value."""
        name, written = self.names.of(node), node in self.place
        if node in self.held:
            array = self.held[node]
            n = self.size(array.width)
            at = "" if array.kind == "vector" else f" + (at + r) * {n}"
            kind = "real* __restrict" if written else "const real*"
            return [f"{kind} p_{name} = w.{array.name}{at};"]
        if node.op == "state":
            n = self.size(width_of(node))
            return [
                f"const real* p_{name} = rows.state(w.state_{node.label}, w.initial_{node.label}, "
                f"{n}, t, first + r);"
            ]
        n = self.size(self.scratch[node])
        return [f"real* __restrict p_{name} = s_{name}.data + r * {n};"]

    def loop(self, place: tuple[int, int, Size], nodes: list[Node]) -> list[str]:
        """One pass over the units of a row."""
        width = place[2]
        reduced = [node for node in nodes if node.op in REDUCTIONS and not of_ones(node)]
        before = [f"real {self.names.of(node)} = 0;" for node in reduced]
        sums = ", ".join(self.names.of(node) for node in reduced)
        pragma = "#pragma omp simd" + (f" reduction(+:{sums})" if reduced else "")
        body = []
        for node in nodes:
            body += self.node(node, place)
        after = []
        for node in reduced:
            name = self.names.of(node)
            share = f" / {self.size(width)}" if node.op == "mean" else ""
            after.append(f"p_{name}[0] = {name}{share};")
        once = [f"p_{self.names.of(n)}[0] = {self.size(width_of(n.args[0]))};"
                for n in nodes if of_ones(n)]  # fmt: skip
        return [
            *before,
            pragma,
            f"for (index_t u = 0; u < {self.size(width)}; ++u) {{",
            *indented(body),
            "}",
            *after,
            *once,
        ]

    def node(self, node: Node, place: tuple[int, int, Size]) -> list[str]:
        """The line of one equation."""
        name = self.names.of(node)
        if of_ones(node):
            return []
        args = [self.read(arg, place) for arg in node.args]
        if node.op in REDUCTIONS:
            return [f"{name} += {args[0]};"]
        line = f"const real {name} = {_CPP[node.op].format(*args)};"
        note = f"  // {node.name}" if node.name else ""
        lines = [line + note]
        if node in self.held or node in self.scratch:
            lines.append(f"p_{name}[u] = {name};")
        return lines

    def read(self, node: Node, place: tuple[int, int, Size]) -> str:
        """An operand: a local variable, or memory."""
        if node.op == "constant":
            return literal(node.value)
        name = self.names.of(node)
        if self.place.get(node) == place and node.op not in REDUCTIONS:
            return name
        one = width_of(node) == 1 and place[2] != 1
        return f"p_{name}[0]" if one else f"p_{name}[u]"

    # -- the function around them

    def text(self) -> str:
        """The function in C++."""
        raise NotImplementedError

    def frame(self, stages: list[Stage], parts: Parts) -> str:
        """The function around the stages."""
        steps = [line for k, stage in enumerate(stages) for line in self.stage_lines(k, stage)]
        members = [f"real* {a.name};" for a in self.arrays]
        members += [f"Packed<real> {name};" for name in self.packed.values()]
        load = [f"w.{a.name} = static_cast<real*>(arrays[{k}]);" for k, a in enumerate(self.arrays)]
        letters = [
            f"const index_t {x} = sizes[{k}]; (void){x};"
            for k, x in enumerate(map(self.size, self.letters))
        ]
        scratch = {f"s_{self.names.of(n)}": self.size(size) for n, size in self.scratch.items()}
        sizes = "".join(f", {self.size(x)}" for x in self.letters)
        backward = "true" if parts.backward else "false"
        return "\n".join([
            f'extern "C" void {self.function}(void** arrays, const int64_t* sizes, index_t steps,',
            "        index_t batch, const int64_t* row_sizes, const int64_t* offsets, int reverse,",
            "        int threads) {",
            *indented([
                *letters,
                "const Rows rows{steps, batch, row_sizes, offsets, reverse != 0};",
                "struct Shared {", *indented([*members, *parts.shared]), "} w;",
                *load,
                *self.packing(),
                *parts.before,
                "struct Worker {",
                *indented([
                    "const Shared& w; const Rows& rows;",
                    *(f"const index_t {self.size(x)};" for x in self.letters),
                    "const int me;",
                    *(f"Buffer<real> {name};" for name in scratch),
                    "void step(index_t t, index_t first, index_t count) {",
                    *indented([
                        "const index_t at = rows.offsets[t] + first; (void)at;",
                        "const index_t going = rows.running(t, first, count); (void)going;",
                        *parts.opening, *steps, *parts.closing,
                    ]),
                    "}",
                ]),
                "};",
                f"over_time(rows, threads, {backward}, [&](int me, index_t count) {{",
                *indented([
                    f"Worker worker{{w, rows{sizes}, me}};",
                    *(f"worker.{name}.reserve(count * {n});" for name, n in scratch.items()),
                    "return worker;",
                ]),
                "});",
                *parts.after,
            ]),
            "}",
            "",
        ])  # fmt: skip

    def packing(self) -> list[str]:
        """Lines that pack the matrices, once a call."""
        lines = []
        for (label, transposed), packed in self.packed.items():
            node = self.matrices[label]
            *heads, rows, depth = (dim.value or "H" for dim in node.shape)
            if transposed:
                rows, depth = depth, rows
            count = str(heads[0]) if heads else "1"
            lines.append(
                f"w.{packed}.pack(w.{matrix_name(label)}, {count}, {self.size(rows)}, "
                f"{self.size(depth)}, {'true' if transposed else 'false'});"
            )
        return lines


def matrix_name(label: str) -> str:
    """The name of a matrix's array."""
    return f"matrix_{label.replace('.', '_')}"


def of_ones(node: Node) -> bool:
    """Whether a node counts the units."""
    return node.op == "sum" and node.args[0].op == "ones"


def literal(value: float) -> str:
    """A number in C++."""
    if value in (float("inf"), float("-inf")):
        return f"real({'-' if value < 0 else ''}INFINITY)"
    return f"real({value!r})"


def indented(lines: Iterable[str]) -> list[str]:
    """Lines, one level deeper."""
    return [line if line.startswith("#") else "    " + line for line in lines]


_CPP = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "sigmoid": "sigmoid_({0})", "tanh": "tanh_({0})", "relu": "relu_({0})", "exp": "exp_({0})",
    "log": "log_({0})", "sqrt": "sqrt_({0})", "abs": "abs_({0})", "softplus": "softplus_({0})",
    "maximum": "maximum_({0}, {1})", "minimum": "minimum_({0}, {1})",
    "select": "({0} > 0 ? {1} : {2})", "heaviside": "heaviside_({0})", "ones": "real(1)",
}  # fmt: skip
