"""The loop backwards in C++."""

from __future__ import annotations

from gated.engines.cpu.writer import Array, Names, Parts, Writer, literal
from gated.equations.loop import Backward, Forward
from gated.equations.schedule import REDUCTIONS, width_of
from gated.equations.symbols import Node


class Astern(Writer):
    """The loop backwards."""

    function = "backward"

    def __init__(self, loop: Forward, back: Backward, names: Names, letters: tuple[str, ...]):
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
            elif gradient in own and gradient not in self.held and gradient.op not in REDUCTIONS:
                self.held[gradient] = array
            else:
                self.copied.append((gradient, array))
        pairs = [(g, v) for ps in back.outer.values() for g, v in ps]
        for k, node in enumerate(dict.fromkeys([g for g, _ in pairs])):
            if node in self.held:
                continue
            array = Array(node, f"d_product_{k}", "timed", width_of(node))
            self.arrays.append(array)
            if node in own and node.op not in REDUCTIONS:
                self.held[node] = array
            else:
                self.copied.append((node, array))
        roots = [n for n in back.carried.values() if n is not None]
        self.locate(back.stages, [*roots, *(n for n, _ in self.sums), *(n for n, _ in self.copied)])
        self.scratch |= {seed: width_of(seed) for seed in back.seeds.values()}

    def text(self) -> str:
        """The function in C++."""
        parts = Parts(backward=True)
        first = self.plan.graph.states[0].name
        for state in self.plan.graph.states:
            name, n = state.name, self.size(state.size)
            # the gradient that arrives: from later steps, and from outside
            outside = f" + (w.d_output ? w.d_output[at * {n} + k] : real(0))"
            arrives = f"w.carry_{name}[first * {n} + k]{outside if name == first else ''}"
            seed = f"s_{self.names.of(self.back.seeds[name])}.data[k]"
            parts.opening += _copy(seed, arrives, n)
            node = self.back.carried[name]
            value = "real(0)" if node is None else self.whole(node, n)
            parts.closing += _copy(f"w.carry_{name}[first * {n} + k]", value, n)
        for node, array in self.copied:
            n = self.size(array.width)
            parts.closing += _copy(f"w.{array.name}[at * {n} + k]", self.whole(node, n), n)
        for node, array in self.sums:
            self.add_sum(parts, node, array)
        return self.frame(self.back.stages, parts)

    def add_sum(self, parts: Parts, node: Node, array: Array) -> None:
        """Sum a gradient over rows and steps: each thread for itself, then in their order."""
        n, total = self.size(array.width), f"total_{array.name}"
        parts.shared += [f"real* {total};"]
        parts.before += [
            "if (threads < 1) threads = 1;",
            f"Buffer<real> {total}; {total}.reserve(threads * {n});",
            f"w.{total} = {total}.data;",
        ]
        parts.closing += [
            "for (index_t r = 0; r < count; ++r)",
            f"    for (index_t u = 0; u < {n}; ++u)",
            f"        w.{total}[me * {n} + u] += {self.at_row(node)};",
        ]
        parts.after += [
            f"for (index_t u = 0; u < {n}; ++u) {{",
            "    real sum = 0;",
            f"    for (int k = 0; k < threads; ++k) sum += w.{total}[k * {n} + u];",
            f"    w.{array.name}[u] = sum;",
            "}",
        ]

    def whole(self, node: Node, n: str) -> str:
        """Element k of a vector over this step's rows."""
        if node.op == "constant":
            return literal(node.value)
        if node in self.held:
            array = self.held[node]
            if array.kind == "vector":
                return f"w.{array.name}[k % {n}]"
            return f"w.{array.name}[at * {n} + k]"
        return f"s_{self.names.of(node)}.data[k]"

    def at_row(self, node: Node) -> str:
        """Unit u of row r."""
        wide = self.size(width_of(node))
        unit = "0" if wide == "1" else "u"
        if node.op == "constant":
            return literal(node.value)
        if node in self.held and self.held[node].kind != "vector":
            return f"w.{self.held[node].name}[(at + r) * {wide} + {unit}]"
        return f"s_{self.names.of(node)}.data[r * {wide} + {unit}]"


def _copy(target: str, value: str, n: str) -> list[str]:
    """Element k of this step's rows from another."""
    return [f"for (index_t k = 0; k < count * {n}; ++k)", f"    {target} = {value};"]
