"""`Leaving`: where a loop backwards leaves the gradients of what the loop was given."""

from __future__ import annotations

from gated.engines.fused.storage import Buffer, Kept, Place, single
from gated.equations.schedule import width_of
from gated.equations.symbols import Node


class Leaving:
    """Where the gradients go.

    Attributes:
        buffers: what holds a gradient for every step and row.
        places: pairs (gradient, place), None for zeros.
        totals: pairs (gradient, buffer) of what is the same at every step: sums over all steps.
        products: where the gradient of each product with a matrix stands.
    """

    def __init__(self, kept: Kept):
        loop, back = kept.loop, kept.back
        self.buffers: list[Buffer] = []
        self.places: list[tuple[Node | None, Place]] = []
        self.totals: list[tuple[Node, Buffer]] = []
        self.products: dict[Node, Place] = {}
        for stream, buffer in zip(loop.streams, kept.streams, strict=True):
            left = self._buffer(Buffer(f"grad_{buffer.name}", "timed", buffer.widths))
            for k, node in enumerate(stream.nodes):
                self._leave(back.given.get(node), Place(left, k))
        for k, node in enumerate(loop.loose):
            gradient, name = back.given.get(node), f"grad_given_{k}"
            if gradient is None:
                continue
            if loop.given[node]:
                place = single(name, "timed", width_of(node))
                self.buffers.append(place.buffer)
                self._leave(gradient, place)
            else:
                self.totals.append((gradient, Buffer(name, "vector", (width_of(node),))))
        nodes = dict.fromkeys(g for pairs in back.outer.values() for g, _ in pairs)
        rest = [node for node in nodes if node not in self.products]
        if rest:
            left = self._buffer(Buffer("grad_products", "timed", tuple(map(width_of, rest))))
            for k, node in enumerate(rest):
                self._leave(node, Place(left, k))

    def _buffer(self, buffer: Buffer) -> Buffer:
        self.buffers.append(buffer)
        return buffer

    def _leave(self, gradient: Node | None, place: Place) -> None:
        self.places.append((gradient, place))
        if gradient is not None:
            self.products.setdefault(gradient, place)
