"""Where the values of a loop stand in memory: buffers, and places in them.

What is known before the loop stands in buffers that hold a whole stream. A value that the way back
needs takes the place of a given one that nothing reads any more, and a gradient that of such a
value: fresh memory costs as much time as what is computed in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gated.equations.graph import Size, sort
from gated.equations.loop import Backward, Forward
from gated.equations.schedule import REDUCTIONS, Stage, width_of
from gated.equations.symbols import Node

# when a node is computed or read: the stage, the pass in it (-1: its products), the loop's width
Moment = tuple[int, int, Size]


@dataclass(frozen=True)
class Buffer:
    """Memory that a kernel is passed, or keeps for itself: values side by side in each row.

    `kind` is timed (N, n), rows (B, n), vector (n,), bank (a stack of matrices), scratch (the rows
    of one worker, n) or turn (the rows of one worker in several steps, n).
    """

    name: str
    kind: str
    widths: tuple[Size, ...]


@dataclass(frozen=True)
class Place:
    """One of the values of a buffer."""

    buffer: Buffer
    index: int = 0

    @property
    def width(self) -> Size:
        """The units of the value."""
        return self.buffer.widths[self.index]


def single(name: str, kind: str, width: Size) -> Place:
    """A buffer of one value."""
    return Place(Buffer(name, kind, (width,)))


class Kept:
    """Where the forward loop of training leaves its values, and the way back its gradients.

    Args:
        loop, back: what is computed.
        instead: whether a value may take the place of one that nothing reads any more.
    """

    def __init__(self, loop: Forward, back: Backward, instead: bool = True):
        self.loop, self.back = loop, back
        self.streams = [
            Buffer(f"stream_{k}", "timed", tuple(width_of(node) for node in stream.nodes))
            for k, stream in enumerate(loop.streams)
        ]
        self.states = {
            state.name: single(f"state_{state.name}", "timed", state.size)
            for state in loop.graph.states
        }
        at = {node: self.states[name] for name, node in loop.updates.items()}
        wanted = dict.fromkeys([*back.kept, *loop.shown.values()])
        rest = [node for node in wanted if node not in at]
        at |= _instead(loop, back, self.streams, rest) if instead else {}
        rest = [node for node in rest if node not in at]
        widths = tuple(width_of(node) for node in rest)
        self.rest = Buffer("kept", "timed", widths) if rest else None
        if self.rest is not None:
            at |= {node: Place(self.rest, k) for k, node in enumerate(rest)}
        self.at: Mapping[Node, Place] = at
        self.buffers = [place.buffer for place in self.states.values()]
        self.buffers += [self.rest] if self.rest is not None else []
        self.over = [instead and self._gradients_instead(k) for k in range(len(self.streams))]

    def _gradients_instead(self, number: int) -> bool:
        """Whether the gradients of a stream can be written over what is kept in its place."""
        stream = self.loop.streams[number]
        moments, reads = moments_of(self.back.stages), reads_of(self.back.stages)
        shown = set(self.loop.shown.values())
        operands = {v for pairs in self.back.outer.values() for _, v in pairs}
        holds = {place.index: node for node, place in self.at.items()
                 if place.buffer is self.streams[number]}  # fmt: skip
        for index, given in enumerate(stream.nodes):
            gradient = self.back.given.get(given)
            if gradient is None or gradient.op in REDUCTIONS or gradient not in moments:
                return False
            if given in reads or list(self.back.given.values()).count(gradient) > 1:
                return False
            node = holds.get(index)
            if node is None:
                continue
            if node in operands or node in shown:
                return False
            if not all(not_after(read, moments[gradient]) for read in reads.get(node, [])):
                return False
        return True


def _instead(
    loop: Forward, back: Backward, buffers: list[Buffer], kept: Iterable[Node]
) -> dict[Node, Place]:
    """Places of given values for values to keep: what is read once, not later than they come."""
    moments, reads = moments_of(loop.stages), reads_of(loop.stages)
    read_back = reads_of(back.stages)
    waiting = list(kept)
    found: dict[Node, Place] = {}
    for stream, buffer in zip(loop.streams, buffers, strict=True):
        for index, given in enumerate(stream.nodes):
            if given in read_back:
                continue
            fitting = (
                node
                for node in waiting
                if width_of(node) == buffer.widths[index]
                and node.op not in REDUCTIONS
                and moments[node][1] >= 0
                and all(not_after(read, moments[node]) for read in reads.get(given, []))
            )
            # its own gate rather than another's: fewer reads stand in the way of its gradient
            node = min(fitting, key=lambda one: given not in sort([one]), default=None)
            if node is not None:
                found[node] = Place(buffer, index)
                waiting.remove(node)
    return found


def moments_of(stages: list[Stage]) -> dict[Node, Moment]:
    """When each node is computed."""
    found: dict[Node, Moment] = {}
    for s, stage in enumerate(stages):
        for one in stage.sums:
            found[one.target] = (s, -1, 0)
        for p, widths in enumerate(stage.passes):
            for width, nodes in widths.items():
                found.update(dict.fromkeys(nodes, (s, p, width)))
    return found


def reads_of(stages: list[Stage]) -> dict[Node, list[Moment]]:
    """When each node is read."""
    found: dict[Node, list[Moment]] = {}
    for s, stage in enumerate(stages):
        for one in stage.sums:
            for product in one.products:
                found.setdefault(product.args[1], []).append((s, -1, 0))
        for p, widths in enumerate(stage.passes):
            for width, nodes in widths.items():
                for node in nodes:
                    for arg in node.args:
                        found.setdefault(arg, []).append((s, p, width))
    return found


def not_after(read: Moment, write: Moment) -> bool:
    """Whether memory that is read then may be written at that moment.

    Loops load what they read before they store, unit by unit, so a read in the same loop is safe.
    """
    return read[:2] < write[:2] or (read == write and read[1] >= 0)
