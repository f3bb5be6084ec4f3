"""C++ for a cell's loops over time: the pointwise stages, written from its equations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gated.equations.graph import Size
from gated.equations.loop import Backward, Forward, Stage
from gated.equations.ops import OPS
from gated.equations.render import expression
from gated.equations.symbols import Node

_RUNTIME = Path(__file__).with_name("kernel.hpp")
_REDUCE = ("mean", "sum")


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


@dataclass(frozen=True)
class Source:
    """The generated C++ and what its functions take: inference, training and its way back."""

    text: str
    letters: tuple[str, ...]
    forward: Kernel
    training: Kernel
    backward: Kernel


def generate(loop: Forward, back: Backward, real: str) -> Source:
    """The C++ of both loops in `float` or `double`."""
    names = _Names()
    letters = tuple(loop.graph.letters)
    writers = [
        _Ahead(loop, [], "forward", names, letters),
        _Ahead(loop, back.kept, "training", names, letters),
        _Astern(loop, back, names, letters),
    ]
    head = [
        f"// {loop.graph.cell}, generated from its equations:",
        *(f"//   {name} = {expression_line(node)}" for name, node in loop.graph.equations.items()),
        f"typedef {real} real;",
        "",
        _RUNTIME.read_text(),
    ]
    text = "\n".join([*head, *(writer.text() for writer in writers)])
    return Source(text, letters, *(writer.kernel() for writer in writers))


def expression_line(node: Node) -> str:
    """A named node's right-hand side as a comment."""
    op = OPS.get(node.op)
    if op is None:
        return expression(node)
    return op.text.format(*(expression(arg) for arg in node.args))


class _Names:
    """A C++ name for each node: its own where it has one, else a number."""

    def __init__(self) -> None:
        self.found: dict[Node, str] = {}

    def of(self, node: Node) -> str:
        if node not in self.found:
            # a prefix keeps them apart from C++'s words and from each other
            word = node.name or node.label.replace(".", "_") or ""
            self.found[node] = f"n{len(self.found)}_{word}" if word else f"n{len(self.found)}"
        return self.found[node]


class _Writer:
    """What both loops have in common: the stages as C++."""

    function = ""

    def __init__(self, loop: Forward, names: _Names, letters: tuple[str, ...]):
        self.plan, self.names, self.letters = loop, names, letters
        self.matrices = loop.matrices
        self.arrays: list[Array] = []
        self.held: dict[Node, Array] = {}  # nodes that stand in an array
        self.scratch: dict[Node, Size] = {}
        self.place: dict[Node, tuple[int, int, Size]] = {}
        self.packed: dict[tuple[str, bool], str] = {}
        self.totals: list[str] = []

    def add(self, node: Node | None, name: str, kind: str, width: Size) -> Array:
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
            self.add(None, _matrix_name(label), "matrix", 0)
        for state in self.plan.graph.states:
            self.add(None, f"initial_{state.name}", "state", state.size)

    def kernel(self) -> Kernel:
        return Kernel(self.function, self.arrays)

    def size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        letter, _, parts = size.partition("/")
        return f"({letter}/{parts})" if parts else letter

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
            if node not in self.held and (outside or node.op in _REDUCE):
                self.scratch[node] = width_of(node)
        for root in roots:
            if root in self.place and root not in self.held:
                self.scratch.setdefault(root, width_of(root))

    def stage_lines(self, number: int, stage: Stage) -> list[str]:
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
            for width in sorted(widths, key=lambda w: w != 1):
                body += self.loop((number, p, width), widths[width])
        pointers = self.pointers([n for w in stage.passes for nodes in w.values() for n in nodes])
        return [
            *lines,
            "for (index_t r = 0; r < count; ++r) {",
            *_indented([*pointers, *body]),
            "}",
        ]

    def product(self, product: Node, target: str, width: str, *, add: bool) -> list[str]:
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
        return node in self.held or node in self.scratch or node not in self.place

    def pointer(self, node: Node) -> list[str]:
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
        width = place[2]
        reduced = [node for node in nodes if node.op in _REDUCE and not _of_ones(node)]
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
                for n in nodes if _of_ones(n)]  # fmt: skip
        return [
            *before,
            pragma,
            f"for (index_t u = 0; u < {self.size(width)}; ++u) {{",
            *_indented(body),
            "}",
            *after,
            *once,
        ]

    def node(self, node: Node, place: tuple[int, int, Size]) -> list[str]:
        name = self.names.of(node)
        if _of_ones(node):
            return []
        args = [self.read(arg, place) for arg in node.args]
        if node.op in _REDUCE:
            return [f"{name} += {args[0]};"]
        line = f"const real {name} = {_CPP[node.op].format(*args)};"
        note = f"  // {node.name}" if node.name else ""
        lines = [line + note]
        if node in self.held or node in self.scratch:
            lines.append(f"p_{name}[u] = {name};")
        return lines

    def read(self, node: Node, place: tuple[int, int, Size]) -> str:
        if node.op == "constant":
            return _literal(node.value)
        name = self.names.of(node)
        if self.place.get(node) == place and node.op not in _REDUCE:
            return name
        one = width_of(node) == 1 and place[2] != 1
        return f"p_{name}[0]" if one else f"p_{name}[u]"

    # -- the function around them

    def frame(self, stages: list[Stage], extra: Mapping[str, list[str]]) -> str:
        steps = [line for k, stage in enumerate(stages) for line in self.stage_lines(k, stage)]
        shared = [f"real* {a.name};" for a in self.arrays]
        packs = [f"Packed<real> {name};" for name in self.packed.values()]
        load = [f"w.{a.name} = static_cast<real*>(arrays[{k}]);" for k, a in enumerate(self.arrays)]
        letters = [f"const index_t {x} = sizes[{k}]; (void){x};" for k, x in enumerate(self.letters)]
        return "\n".join([
            f'extern "C" void {self.function}(void** arrays, const int64_t* sizes, index_t steps,',
            "        index_t batch, const int64_t* row_sizes, const int64_t* offsets, int reverse,",
            "        int threads) {",
            *_indented([
                *letters,
                "const Rows rows{steps, batch, row_sizes, offsets, reverse != 0};",
                "struct Shared {", *_indented([*shared, *packs, *self.totals]), "} w;",
                *load,
                *self.packing(),
                *extra["before"],
                "struct Worker {",
                *_indented([
                    "const Shared& w; const Rows& rows;",
                    *(f"const index_t {x};" for x in self.letters),
                    *extra["members"],
                    *(f"Buffer<real> s_{self.names.of(n)};" for n in self.scratch),
                    "void step(index_t t, index_t first, index_t count) {",
                    *_indented([
                        "const index_t at = rows.offsets[t] + first; (void)at;",
                        "const index_t going = rows.running(t, first, count); (void)going;",
                        *extra["open"], *steps, *extra["close"],
                    ]),
                    "}",
                ]),
                "};",
                f"over_time(rows, threads, {extra['backward'][0]}, [&](int me, index_t count) {{",
                *_indented([
                    "(void)me;",
                    f"Worker worker{{w, rows{''.join(', ' + x for x in self.letters)}"
                    f"{', me' if extra['members'] else ''}}};",
                    *(f"worker.s_{self.names.of(n)}.reserve(count * {self.size(size)});"
                      for n, size in self.scratch.items()),
                    *extra["make"],
                    "return worker;",
                ]),
                "});",
                *extra["after"],
            ]),
            "}",
            "",
        ])  # fmt: skip

    def packing(self) -> list[str]:
        """Lines that pack the matrices, once a call."""
        lines = []
        for (label, transposed), packed in self.packed.items():
            node = self.matrices[label]
            *heads, rows, depth = (dim.value for dim in node.shape)
            if transposed:
                rows, depth = depth, rows
            count = str(heads[0]) if heads else "1"
            lines.append(
                f"w.{packed}.pack(w.{_matrix_name(label)}, {count}, {self.size(rows)}, "
                f"{self.size(depth)}, {'true' if transposed else 'false'});"
            )
        return lines


class _Ahead(_Writer):
    """The forward loop. `kept` are the values that it writes for the loop backwards."""

    def __init__(
        self, loop: Forward, kept: list[Node], function: str, names: _Names, letters: tuple[str, ...]
    ):
        super().__init__(loop, names, letters)
        self.function = function
        self.add_inputs()
        for name, node in loop.updates.items():
            self.add(node, f"state_{name}", "timed", width_of(node))
        for k, node in enumerate(kept):
            if node not in self.held:
                self.add(node, f"kept_{k}", "timed", width_of(node))
        self.locate(loop.stages, [])

    def text(self) -> str:
        return self.frame(
            self.plan.stages,
            {"before": [], "members": [], "open": [], "close": [], "make": [], "after": [],
             "backward": ["false"]},
        )  # fmt: skip


class _Astern(_Writer):
    """The loop backwards."""

    function = "backward"

    def __init__(
        self, loop: Forward, back: Backward, names: _Names, letters: tuple[str, ...]
    ):
        super().__init__(loop, names, letters)
        self.back = back
        self.add_inputs()
        for name, node in loop.updates.items():
            self.add(node, f"state_{name}", "timed", width_of(node))
        for k, node in enumerate(back.kept):
            if node not in self.held:
                self.add(node, f"kept_{k}", "timed", width_of(node))
        first = loop.graph.states[0]
        self.output = self.add(None, "d_output", "timed", first.size)
        for state in loop.graph.states:
            self.add(None, f"carry_{state.name}", "carry", state.size)
        self.copied: list[tuple[Node, Array]] = []  # gradients that are computed elsewhere
        self.sums: list[tuple[Node, Array]] = []
        own = {n for s in back.stages for p in s.passes for ns in p.values() for n in ns}
        for k, (node, gradient) in enumerate(back.given.items()):
            kind = "timed" if loop.given[node] else "vector"
            array = Array(gradient, f"d_given_{k}", kind, width_of(node))
            self.arrays.append(array)
            if kind == "vector":
                self.sums.append((gradient, array))
            elif gradient in own and gradient not in self.held and gradient.op not in _REDUCE:
                self.held[gradient] = array
            else:
                self.copied.append((gradient, array))
        pairs = [(g, v) for ps in back.outer.values() for g, v in ps]
        for k, node in enumerate(dict.fromkeys([g for g, _ in pairs])):
            if node in self.held:
                continue
            array = Array(node, f"d_product_{k}", "timed", width_of(node))
            self.arrays.append(array)
            if node in own and node.op not in _REDUCE:
                self.held[node] = array
            else:
                self.copied.append((node, array))
        roots = [n for n in back.carried.values() if n is not None]
        self.locate(back.stages, [*roots, *(n for n, _ in self.sums), *(n for n, _ in self.copied)])
        for name, seed in back.seeds.items():
            self.scratch[seed] = width_of(seed)
            self.seed_names = {**getattr(self, "seed_names", {}), name: seed}

    def text(self) -> str:
        opening, closing = [], []
        states = {state.name: self.size(state.size) for state in self.plan.graph.states}
        first = self.plan.graph.states[0].name
        for name, n in states.items():
            seed = f"s_{self.names.of(self.back.seeds[name])}.data[k]"
            outside = " + (w.d_output ? w.d_output[at * {0} + k] : real(0))".format(n)
            opening += [
                f"for (index_t k = 0; k < count * {n}; ++k)",
                f"    {seed} = w.carry_{name}[first * {n} + k]{outside if name == first else ''};",
            ]
        for name, node in self.back.carried.items():
            n = states[name]
            value = "real(0)" if node is None else self.whole(node, n)
            closing += [
                f"for (index_t k = 0; k < count * {n}; ++k) w.carry_{name}[first * {n} + k] = {value};"
            ]
        for node, array in self.copied:
            n = self.size(array.width)
            closing += [
                f"for (index_t k = 0; k < count * {n}; ++k) w.{array.name}[at * {n} + k] = "
                f"{self.whole(node, n)};"
            ]
        members, make, before, after = ["const int me;"], [], [], []
        for node, array in self.sums:
            n, total = self.size(array.width), f"total_{array.name}"
            before += [f"Buffer<real> {total}; {total}.reserve((threads < 1 ? 1 : threads) * {n});",
                       f"w.{total} = {total}.data;"]  # fmt: skip
            closing += [
                "for (index_t r = 0; r < count; ++r)",
                f"    for (index_t u = 0; u < {n}; ++u)",
                f"        w.{total}[me * {n} + u] += {self.at_row(node, n)};",
            ]
            after += [
                f"for (index_t u = 0; u < {n}; ++u) {{",
                "    real sum = 0;",
                f"    for (int k = 0; k < (threads < 1 ? 1 : threads); ++k) sum += w.{total}[k * {n} + u];",
                f"    w.{array.name}[u] = sum;",
                "}",
            ]
        self.totals = [f"real* total_{array.name};" for _, array in self.sums]
        return self.frame(
            self.back.stages,
            {"before": before, "members": members, "open": opening, "close": closing,
             "make": make, "after": after, "backward": ["true"]},
        )  # fmt: skip

    def whole(self, node: Node, n: str) -> str:
        """Element k of a vector over this step's rows."""
        if node.op == "constant":
            return _literal(node.value)
        if node in self.held:
            array = self.held[node]
            if array.kind == "vector":
                return f"w.{array.name}[k % {n}]"
            return f"w.{array.name}[at * {n} + k]"
        return f"s_{self.names.of(node)}.data[k]"

    def at_row(self, node: Node, n: str) -> str:
        """Unit u of row r."""
        wide = self.size(width_of(node))
        unit = "0" if wide == "1" else "u"
        if node.op == "constant":
            return _literal(node.value)
        if node in self.held and self.held[node].kind != "vector":
            return f"w.{self.held[node].name}[(at + r) * {wide} + {unit}]"
        return f"s_{self.names.of(node)}.data[r * {wide} + {unit}]"


def _matrix_name(label: str) -> str:
    return f"matrix_{label.replace('.', '_')}"


def _of_ones(node: Node) -> bool:
    return node.op == "sum" and node.args[0].op == "ones"


def _literal(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return f"real({'-' if value < 0 else ''}INFINITY)"
    return f"real({value!r})"


def width_of(node: Node) -> Size:
    """The units of a node."""
    value = node.shape[0].value if node.shape else 1
    return "H" if value is None else value


def _indented(lines: Iterable[str]) -> list[str]:
    return [line if line.startswith("#") else "    " + line for line in lines]


_CPP = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "sigmoid": "sigmoid_({0})", "tanh": "tanh_({0})", "relu": "relu_({0})", "exp": "exp_({0})",
    "log": "log_({0})", "sqrt": "sqrt_({0})", "abs": "abs_({0})", "softplus": "softplus_({0})",
    "maximum": "maximum_({0}, {1})", "minimum": "minimum_({0}, {1})",
    "select": "({0} > 0 ? {1} : {2})", "heaviside": "heaviside_({0})", "ones": "real(1)",
}  # fmt: skip
