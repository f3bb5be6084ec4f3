"""The whole loop forward as one kernel."""

from __future__ import annotations

from collections.abc import Iterable

from gated.engines.fused.storage import Kept
from gated.engines.triton.resident.timeloop import TimeLoop
from gated.equations.graph import Size
from gated.equations.schedule import width_of
from gated.equations.symbols import Node


class Ahead(TimeLoop):
    """The loop forward; in training it leaves what the way back needs."""

    name = "forward"

    def __init__(self, kept: Kept, widths: Iterable[Size]):
        super().__init__(kept, widths)
        loop = kept.loop
        self.stages = loop.stages
        self.known_values()
        self.buffers += [buffer.name for buffer in kept.buffers]
        self.buffers += [f"final_{state.name}" for state in loop.graph.states]

    def wanted(self) -> list[Node]:
        """What a step reads, in the order in which it comes up."""
        nodes = [n for stage in self.stages for one in stage.sums for n in one.products]
        nodes += [n for s in self.stages for p in s.passes for group in p.values() for n in group]
        found = [arg for node in nodes for arg in node.args]
        return list(dict.fromkeys([*found, *self.loop.updates.values(), *self.kept.at]))

    def text(self) -> str:
        """The kernel."""
        loop, tile, names = self.loop, self.tile, self.names
        wanted = self.wanted()
        invariant = self.vectors(wanted)
        timed = [n for n in wanted if n in self.reads and n not in tile.defined]
        tile.defined |= {*timed, *loop.previous.values()}
        work = self.work([*loop.updates.values(), *loop.shown.values()])
        first: list[str] = []
        ahead: list[str] = []
        now: list[str] = []
        for k, node in enumerate(timed):
            width, place = width_of(node), self.reads[node]
            for lines, start, rows in ((first, "o", "here"), (ahead, "o1", "here1")):
                value = tile.load_as_stored(self.address(place, start), width, rows)
                lines.append(f"a{k} = {value}")
            now.append(f"{names.of(node)} = {tile.loaded(f'a{k}', width)}")
        initial, turn, finals = [], [], []
        for state in loop.graph.states:
            node, before = loop.updates[state.name], names.of(loop.previous[state.name])
            initially = self.of_batch(f"initial_{state.name}", state.size)
            value = tile.load(initially, state.size, "there")
            initial.append(f"{before} = {value}  # {state.name}")
            # a row that does not reach a step keeps its state
            turn.append(
                f"s_{state.name} = tl.where(here, {tile.operand(node, whole=True)}, {before})"
            )
            end = self.of_batch(f"final_{state.name}", state.size)
            finals.append(tile.store(end, state.size, before, "there"))
        turn += [f"{names.of(loop.previous[s.name])} = s_{s.name}" for s in loop.graph.states]
        return self.function(
            [*invariant, *initial],
            [
                "t = step_at(0, last, REVERSE)",
                *self.masks("here", "t < {length}"),
                "o = offset_of(t, wide, offsets, FULL)",
                "o1 = offset_of(step_at(1, last, REVERSE), wide, offsets, FULL)",
                *first,
            ],
            [
                "t1 = step_at(k + 1, last, REVERSE)",
                "o2 = offset_of(step_at(k + 2, last, REVERSE), wide, offsets, FULL)",
                *self.masks("here1", "t1 < {length}"),
                *now,
                *ahead,
                *work,
                *self.stores(),
                *turn,
                self.turn_of("here"),
            ],
            finals,
        )

    def stores(self) -> list[str]:
        """What is left at every step: the first state, in training all that is kept."""
        always: list[str] = []
        training: list[str] = []
        first = self.kept.buffers[0]
        for node, place in self.kept.at.items():
            value = self.tile.operand(node, whole=True)
            line = self.tile.store(self.address(place, "o"), place.width, value)
            (always if place.buffer == first else training).append(line)
        if training:
            always += ["if TRAINING:", *(f"    {line}" for line in training)]
        return always
