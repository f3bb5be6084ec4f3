"""The whole loop backwards as one kernel."""

from __future__ import annotations

from collections.abc import Iterable

from gated.engines.fused.leaving import Leaving
from gated.engines.fused.storage import Kept, Place, single
from gated.engines.triton.resident.timeloop import TimeLoop
from gated.equations.graph import Size
from gated.equations.schedule import width_of
from gated.equations.symbols import Node


class Astern(TimeLoop):
    """The loop backwards.

    Beside what `TimeLoop` wants, the text has these names: `c_h` is the gradient that is carried
    of state h, `first_h` its value before the loop, `has` the rows that have a step before.
    """

    name = "backward"

    def __init__(self, kept: Kept, leaving: Leaving, widths: Iterable[Size]):
        super().__init__(kept, widths)
        self.leaving, self.back = leaving, kept.back
        self.stages = kept.back.stages
        self.known_values()
        self.reads |= kept.at
        self.buffers += [buffer.name for buffer in kept.buffers]
        self.buffers += [f"d_{name}" for name in self.back.seeds]
        self.buffers += [f"carry_{state.name}" for state in self.loop.graph.states]
        self.buffers += [buffer.name for buffer in leaving.buffers]
        self.buffers += [f"parts_{buffer.name}" for _, buffer in leaving.totals]

    def results(self) -> list[Node]:
        """What must be computed."""
        found = [node for node in self.back.carried.values() if node is not None]
        found += [node for node, _ in self.leaving.places if node is not None]
        return list(dict.fromkeys([*found, *(node for node, _ in self.leaving.totals)]))

    def wanted(self) -> list[Node]:
        """What a step reads, in the order in which it comes up."""
        nodes = [n for stage in self.stages for one in stage.sums for n in one.products]
        nodes += [n for s in self.stages for p in s.passes for group in p.values() for n in group]
        found = [arg for node in nodes for arg in node.args]
        return list(dict.fromkeys([*found, *self.results()]))

    def text(self) -> str:
        """The kernel."""
        wanted = self.wanted()
        invariant = self.vectors(wanted)
        self.first: list[str] = []
        self.ahead: list[str] = []
        self.now: list[str] = []
        begin, end = self.carried(wanted)
        self.known(wanted)
        work = self.work(self.results())
        totals, sums, partials = self.totals()
        return self.function(
            [*invariant, *begin, *totals],
            [
                "t = step_at(0, last, not REVERSE)",
                *self.masks("here", "t < {length}"),
                "o = offset_of(t, wide, offsets, FULL)",
                "o1 = offset_of(step_at(1, last, not REVERSE), wide, offsets, FULL)",
                *self.masks("has", "follows_one(t, {length}, REVERSE)"),
                *self.first,
            ],
            [
                "t1 = step_at(k + 1, last, not REVERSE)",
                "o2 = offset_of(step_at(k + 2, last, not REVERSE), wide, offsets, FULL)",
                *self.masks("here1", "t1 < {length}"),
                *self.masks("has1", "follows_one(t1, {length}, REVERSE)"),
                *self.now,
                *self.ahead,
                *work,
                *self.stores(),
                *sums,
                *self.turn(),
                self.turn_of("here", "has"),
            ],
            [*end, *partials],
        )

    def read_ahead(self, place: Place, *, guard: str = "", before: bool = False) -> str:
        """Read at the step before it is used; `before`: what stands a step further back."""
        name = f"a{len(self.first)}"
        for lines, start, rows in (
            (self.first, "o1" if before else "o", "has" if before else "here"),
            (self.ahead, "o2" if before else "o1", "has1" if before else "here1"),
        ):
            value = self.tile.load_as_stored(self.address(place, start), place.width, rows)
            lines.append(f"{guard}{name} = {value}")
        return name

    def known(self, wanted: Iterable[Node]) -> None:
        """What the loop forward left, and what it was given."""
        for node in wanted:
            if node in self.reads and node not in self.tile.defined:
                name = self.read_ahead(self.reads[node])
                self.now.append(f"{self.names.of(node)} = {self.tile.loaded(name, width_of(node))}")
                self.tile.defined.add(node)

    def carried(self, wanted: Iterable[Node]) -> tuple[list[str], list[str]]:
        """The states before, and gradients that arrive: lines before and after the loop."""
        begin, end = [], []
        for state in self.loop.graph.states:
            before = self.loop.previous[state.name]
            carry = self.of_batch(f"carry_{state.name}", state.size)
            value = self.tile.load(carry, state.size, "there")
            begin.append(f"c_{state.name} = {value}")
            end.append(self.tile.store(carry, state.size, f"c_{state.name}", "there"))
            if before in wanted:
                start = self.of_batch(f"initial_{state.name}", state.size)
                first = self.tile.load(start, state.size, "there")
                begin.append(f"first_{state.name} = {first}")
                name = self.read_ahead(self.kept.states[state.name], before=True)
                self.now.append(
                    f"{self.names.of(before)} = tl.where(has, "
                    f"{self.tile.loaded(name, state.size)}, first_{state.name})  # {state.name}"
                )
                self.tile.defined.add(before)
        for name, seed in self.back.seeds.items():
            self.arriving(name, seed)
        return begin, end

    def arriving(self, name: str, seed: Node) -> None:
        """The gradient of a new state or a shown value: what is carried, and what comes to it."""
        width = width_of(seed)
        place = single(f"d_{name}", "timed", width)
        read = self.read_ahead(place, guard=f"if d_{name} is not None: ")
        value = f"c_{name}"
        if name not in self.loop.updates:
            block = "1" if width == 1 else f"BLOCK_{self.tile.unit(width)}"
            value = f"tl.zeros((ROWS, {block}), REAL)"
        mine = self.names.of(seed)
        self.now += [
            f"{mine} = {value}",
            f"if d_{name} is not None: {mine} += {self.tile.loaded(read, width)}",
        ]
        self.tile.defined.add(seed)

    def stores(self) -> list[str]:
        """The gradients of what was given, and of products."""
        lines = []
        for node, place in self.leaving.places:
            zeros = "tl.zeros((1, 1), REAL)"
            value = zeros if node is None else self.tile.operand(node, whole=True)
            lines.append(self.tile.store(self.address(place, "o"), place.width, value))
        return lines

    def totals(self) -> tuple[list[str], list[str], list[str]]:
        """Sums over steps and rows: lines before the loop, in it and after."""
        begin, body, end = [], [], []
        for k, (node, buffer) in enumerate(self.leaving.totals):
            (width,) = buffer.widths
            block = "1" if width == 1 else f"BLOCK_{self.tile.unit(width)}"
            begin.append(f"total{k} = tl.zeros((ROWS, {block}), REAL)")
            value = self.tile.operand(node, whole=True)
            body.append(f"total{k} += tl.where(here, {value}, 0.0)")
            at = f"parts_{buffer.name} + tl.program_id(0) * {self.size(width)}"
            unit = "tl.arange(0, 1)[None, :]" if width == 1 else f"u{self.tile.unit(width)}"
            mask = "" if width == 1 else f", mask=m{self.tile.unit(width)}"
            end.append(f"tl.store({at} + {unit}, tl.sum(total{k}, 0, keep_dims=True){mask})")
        return begin, body, end

    def turn(self) -> list[str]:
        """The gradients of the states before go to the step before."""
        lines = []
        for state in self.loop.graph.states:
            node = self.back.carried[state.name]
            value = "0.0" if node is None else self.tile.operand(node, whole=True)
            # a row that does not reach a step hands on what it has
            lines.append(f"next_{state.name} = tl.where(here, {value}, c_{state.name})")
        return lines + [f"c_{s.name} = next_{s.name}" for s in self.loop.graph.states]
