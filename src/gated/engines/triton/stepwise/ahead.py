"""The forward loop, step by step."""

from __future__ import annotations

from gated.engines.fused.storage import Buffer, Kept, Place
from gated.engines.triton.stepwise.plan import Plan, computed
from gated.equations.schedule import width_of
from gated.equations.symbols import Node


class Ahead(Plan):
    """The forward loop; in training it leaves what the way back needs.

    Attributes:
        turns: where states stand between steps, each in two buffers that take turns.
    """

    def __init__(self, kept: Kept, *, training: bool):
        loop = kept.loop
        super().__init__(loop, loop.stages, "train" if training else "infer")
        self.turns: list[tuple[str, Place]] = []
        read_given(self, kept)
        used = {arg for stage in self.stages for node in computed(stage) for arg in node.args}
        for state in loop.graph.states:
            name, update = state.name, loop.updates[state.name]
            if training or state is loop.graph.states[0]:
                self.leave(update, kept.states[name])
            self.leave(update, Place(Buffer(f"final_{name}", "rows", (state.size,))))
            before = loop.previous[name]
            if before in used:
                now = Place(self.own(f"now_{name}", "turn", state.size))
                self.turns.append((name, now))
                self.leave(update, now)
                self.reads[before] = [now]
        if training:
            updates = set(loop.updates.values())
            for node, place in kept.at.items():
                if node not in updates:
                    self.leave(node, place)
        self.settle()
        self.write_kernels()

    def operand(self, node: Node, place: Place) -> None:
        """A state is multiplied in the next step: its place is written when it is computed."""
        if node.op != "state":
            return super().operand(node, place)
        self.turns.append((node.label, place))
        return self.leave(self.loop.updates[node.label], place)


def read_given(plan: Plan, kept: Kept) -> None:
    """What is known before the loop stands in buffers of the caller."""
    loop = kept.loop
    for stream, buffer in zip(loop.streams, kept.streams, strict=True):
        plan.reads |= {node: [Place(buffer, k)] for k, node in enumerate(stream.nodes)}
    for k, node in enumerate(loop.loose):
        kind = "timed" if loop.given[node] else "vector"
        plan.reads[node] = [Place(Buffer(f"given_{k}", kind, (width_of(node),)))]
