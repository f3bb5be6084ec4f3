"""The loop backwards in C++."""

from __future__ import annotations

from gated.engines.cpu.ahead import inputs
from gated.engines.cpu.frame import Kernel, Parts, function
from gated.engines.cpu.spelling import Names
from gated.engines.cpu.writer import Writer, state_before
from gated.engines.fused.storage import Buffer, Kept, Place, not_after, single
from gated.equations.graph import Size
from gated.equations.schedule import REDUCTIONS, width_of
from gated.equations.symbols import Node


class Astern(Writer):
    """The loop backwards.

    Attributes:
        products: where the gradient of each product with a matrix is left, by its node.
    """

    name = "backward"

    def __init__(self, kept: Kept, names: Names):
        super().__init__(kept, kept.back.stages, names)
        self.back, self.parts = kept.back, Parts(backward=True)
        # values to copy once the stages are done: (from, to), None for zeros
        self.late: list[tuple[Node | None, Place]] = []
        self.sums: list[tuple[Node, Buffer]] = []
        self.products: dict[Node, Place] = {}
        self.buffers = [*inputs(kept), *kept.streams, *kept.buffers]
        self.known_values()
        self.arriving()
        self.leaving_to_given()
        self.leaving_to_products()
        self.carried()
        late = [node for node, _ in self.late if node is not None]
        self.settle([*late, *(node for node, _ in self.sums)])

    def known_values(self) -> None:
        """What the forward loop left, and what it was given."""
        loop, kept = self.loop, self.kept
        for k, node in enumerate(loop.loose):
            self.reads[node] = [Place(self.buffers[k])]
        for stream, buffer in zip(loop.streams, kept.streams, strict=True):
            self.reads |= {node: [Place(buffer, k)] for k, node in enumerate(stream.nodes)}
        for state in loop.graph.states:
            self.reads[loop.previous[state.name]] = [state_before(state.name, state.size)]
        self.reads |= {node: [place] for node, place in kept.at.items()}

    def arriving(self) -> None:
        """The gradients of what is wanted at every step, and of the last states."""
        loop = self.loop
        first = loop.graph.states[0].name
        widest: dict[str, None] = {}
        for name, seed in self.back.seeds.items():
            places = []
            if name in loop.updates:
                places.append(single(f"carry_{name}", "rows", width_of(seed)))
            if name == first or loop.traced or name not in loop.updates:
                places.append(single(f"d_{name}", "maybe", width_of(seed)))
                widest[self.size(width_of(seed))] = None
            self.buffers += [place.buffer for place in places]
            self.reads[seed] = places
        self.parts.shared.append("real* zeros;")
        self.parts.before += [
            f"Buffer<real> zeros; zeros.reserve(std::max<index_t>({{{', '.join(widest)}}}));",
            "w.zeros = zeros.data;",
        ]

    def leaving_to_given(self) -> None:
        """The gradients of what was given."""
        loop = self.loop
        for number, stream in enumerate(loop.streams):
            buffer = self.kept.streams[number]
            if not self.kept.over[number]:
                buffer = Buffer(f"grad_{buffer.name}", "timed", buffer.widths)
                self.buffers.append(buffer)
            for k, node in enumerate(stream.nodes):
                self.leave(self.back.given.get(node), Place(buffer, k))
        for k, node in enumerate(loop.loose):
            gradient = self.back.given.get(node)
            if gradient is None:
                continue
            if loop.given[node]:
                place = single(f"grad_given_{k}", "timed", width_of(node))
                self.buffers.append(place.buffer)
                self.leave(gradient, place)
            else:
                total = Buffer(f"grad_given_{k}", "vector", (width_of(node),))
                self.buffers.append(total)
                self.add_up(gradient, total)

    def leave(self, gradient: Node | None, place: Place) -> None:
        """Write a gradient when it is computed, or once all is if that is elsewhere."""
        if gradient in self.moments and gradient.op not in REDUCTIONS:
            self.writes.setdefault(gradient, []).append(place)
            if place.buffer.kind == "timed":
                self.products.setdefault(gradient, place)
        else:
            self.late.append((gradient, place))

    def leaving_to_products(self) -> None:
        """The gradients of products with matrices, for the matrices' own."""
        nodes = dict.fromkeys(g for pairs in self.back.outer.values() for g, _ in pairs)
        rest = [node for node in nodes if node not in self.products]
        if rest:
            buffer = Buffer("grad_products", "timed", tuple(width_of(node) for node in rest))
            self.buffers.append(buffer)
            for k, node in enumerate(rest):
                self.products[node] = Place(buffer, k)
                self.leave(node, Place(buffer, k))

    def carried(self) -> None:
        """The gradients of the states before go to the step before."""
        late = {node for node, _ in self.late} | {node for node, _ in self.sums}
        taken: set[Node] = set()
        for state in self.loop.graph.states:
            node, seed = self.back.carried[state.name], self.back.seeds[state.name]
            carry = single(f"carry_{state.name}", "rows", state.size)
            at = self.moments.get(node) if node is not None else None
            reads = self.read_at.get(seed, [])
            others = {n for k, n in self.back.carried.items() if k != state.name}
            direct = (
                node is not None
                and at is not None
                and node.op not in REDUCTIONS
                and node not in taken
                and seed not in late
                and seed not in others
                and all(not_after(read, at) for read in reads)
            )
            if direct and node is not None:
                taken.add(node)
                self.writes.setdefault(node, []).append(carry)
            else:
                self.keep_apart(seed, state.name, state.size)
                self.late.append((node, carry))

    def keep_apart(self, seed: Node, name: str, size: Size) -> None:
        """Copy what arrives, since its place is written before it is last read."""
        own = Place(self.own(f"s_{self.names.of(seed)}", size))
        value = " + ".join(f"({self.pointer(place)})[u]" for place in self.reads[seed])
        self.parts.opening += self.each(self.pointer(own), value, size)
        self.reads[seed] = [own]

    def each(self, target: str, value: str, size: Size) -> list[str]:
        """A loop over the rows and units of a value."""
        return [
            "for (index_t r = 0; r < count; ++r)",
            f"    for (index_t u = 0; u < {self.size(size)}; ++u) ({target})[u] = {value};",
        ]

    def text(self, letters: tuple[str, ...]) -> str:
        """The function in C++."""
        for node, place in self.late:
            value = "real(0)" if node is None else self.at_unit(node)
            self.parts.closing += self.each(self.pointer(place), value, place.width)
        for gradient, buffer in self.sums:
            self.parts.closing += [
                "for (index_t r = 0; r < count; ++r)",
                f"    for (index_t u = 0; u < {self.size(buffer.widths[0])}; ++u)",
                f"        ({self.pointer(Place(buffer))})[u] += {self.at_unit(gradient)};",
            ]
        return function(self, self.name, letters, self.parts)

    def add_up(self, node: Node, result: Buffer) -> None:
        """Sum a gradient over rows and steps: each thread for itself, then in their order."""
        parts = self.parts
        n, total = (
            self.size(result.widths[0]),
            Buffer(f"total_{result.name}", "total", result.widths),
        )
        parts.shared += [f"real* {total.name};"]
        parts.before += [
            f"Buffer<real> {total.name}; {total.name}.reserve(std::max(threads, 1) * {n});",
            f"w.{total.name} = {total.name}.data;",
        ]
        if node in self.moments and node.op not in REDUCTIONS:
            self.totals.setdefault(node, []).append(Place(total))
        else:
            self.sums.append((node, total))
        parts.after += [
            f"for (index_t u = 0; u < {n}; ++u) {{",
            "    real sum = 0;",
            "    for (int k = 0; k < std::max(threads, 1); ++k)",
            f"        sum += {total.name}.data[k * {n} + u];",
            f"    w.{result.name}[u] = sum;",
            "}",
        ]

    def kernel(self) -> Kernel:
        """What the function is called and takes."""
        return Kernel(self.name, tuple(self.buffers))
