"""The forward loop in C++."""

from __future__ import annotations

from gated.engines.cpu.frame import Kernel, Parts, copied, function
from gated.engines.cpu.spelling import Names
from gated.engines.cpu.writer import Writer
from gated.engines.fused.storage import Buffer, Kept, Place, not_after, single
from gated.equations.schedule import width_of


def inputs(kept: Kept) -> list[Buffer]:
    """What both loops are passed beside streams: loose values, matrices, the first states."""
    loop = kept.loop
    given = [
        Buffer(f"given_{k}", "timed" if loop.given[node] else "vector", (width_of(node),))
        for k, node in enumerate(loop.loose)
    ]
    banks = [Buffer(f"bank_{k}", "bank", (0,)) for k in range(len(loop.banks))]
    initial = [Buffer(f"initial_{s.name}", "rows", (s.size,)) for s in loop.graph.states]
    return [*given, *banks, *initial]


class Ahead(Writer):
    """The forward loop. In training it leaves what the way back needs.

    Each worker carries the states of its rows in memory of its own; what is wanted at every step
    is written as well.
    """

    def __init__(self, kept: Kept, names: Names, name: str, *, training: bool):
        super().__init__(kept, kept.loop.stages, names)
        self.name = name
        self.parts = Parts()
        loop = kept.loop
        finals = [Buffer(f"final_{s.name}", "rows", (s.size,)) for s in loop.graph.states]
        timed = kept.buffers if training else kept.buffers[:1]
        self.buffers = [*inputs(kept), *timed, *finals]
        for k, node in enumerate(loop.loose):
            self.reads[node] = [Place(self.buffers[k])]
        for number in range(len(loop.streams)):
            self.stream(number, training)
        for state in loop.graph.states:
            self.carry(state.name, training or state is loop.graph.states[0])
        if training:
            updates = set(loop.updates.values())
            for node, place in kept.at.items():
                if node not in updates:
                    self.writes.setdefault(node, []).append(place)
        self.settle()

    def stream(self, number: int, training: bool) -> None:
        """The product of a stream, for a turn of steps; in training it stays for the way back."""
        stream, buffer = self.loop.streams[number], self.kept.streams[number]
        depth = width_of(stream.operand)
        operand = Buffer(f"operand_{number}", "timed", (depth,))
        matrix, added = f"matrix_{number}", f"added_{number}"
        self.buffers += [
            operand,
            Buffer(matrix, "bank", (0,)),
            Buffer(added, "vector", buffer.widths),
            Buffer(f"also_{number}", "vector", buffer.widths),
        ]
        if training:
            self.buffers.append(buffer)
            to = f"w.{buffer.name} + (rows.offsets[t] + first + r) * {self.stride(buffer)}"
        else:
            buffer = Buffer(buffer.name, "turn", buffer.widths)
            self.scratch[buffer.name] = buffer
            to = f"{buffer.name}.data + (slot + r) * {self.stride(buffer)}"
        self.reads |= {node: [Place(buffer, k)] for k, node in enumerate(stream.nodes)}
        height, depth_ = self.stride(buffer), self.size(depth)
        parts, name = self.parts, f"w_{number}"
        parts.shared.append(f"Packed<real> {name};")
        parts.before += [
            f"packed += w.{name}.pack(w.{matrix}, 1, {height}, {depth_}, false, uses, threads);",
            f"w.{name}.begin_with(w.{added}, w.also_{number});",
        ]
        parts.prepare += [
            f"// {', '.join(stream.bank.keys)}",
            "several.count = 0;",
            "over_turn(rows, from, to, first, end, [&](index_t t, index_t count, index_t slot) {",
            "    (void)slot;",
            "    for (index_t r = 0; r < count; ++r)",
            f"        several.row(w.{operand.name} + (rows.offsets[t] + first + r) * {depth_},",
            f"                    {to});",
            "});",
            f"multiply(team, w.{name}, several, false);",
        ]

    def carry(self, name: str, everywhere: bool) -> None:
        """A state from step to step."""
        loop = self.loop
        node, before = loop.updates[name], loop.previous[name]
        now = single(f"now_{name}", "scratch", width_of(node))
        n = self.size(now.width)
        self.scratch[now.buffer.name] = now.buffer
        self.reads[before] = [now]
        target = now
        if not all(not_after(read, self.moments[node]) for read in self.read_at.get(before, [])):
            target = single(f"next_{name}", "scratch", now.width)
            self.scratch[target.buffer.name] = target.buffer
            self.parts.closing.append(
                copied(f"now_{name}.data", f"next_{name}.data", f"count * {n}")
            )
        places = [self.kept.states[name], target] if everywhere else [target]
        self.writes.setdefault(node, []).extend(places)
        self.parts.start.append(
            copied(f"now_{name}.data", f"w.initial_{name} + first * {n}", f"count * {n}")
        )
        self.parts.finish.append(
            copied(f"w.final_{name} + first * {n}", f"now_{name}.data", f"count * {n}")
        )

    def kernel(self) -> Kernel:
        """What the function is called and takes."""
        return Kernel(self.name, tuple(self.buffers))

    def text(self, letters: tuple[str, ...]) -> str:
        """The function in C++."""
        return function(self, self.name, letters, self.parts)
