"""`Trace`: every gate and state of a layer over time, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Traced: TypeAlias = Tensor | list[list[Tensor]]
Values: TypeAlias = dict[str, Tensor]


class Trace(Mapping[str, Traced]):
    """Every gate and state over time: `trace["f"]`.

    With one layer and one direction, `trace["f"]` is a tensor (T, B, H), (B, T, H) if the layer is
    `batch_first`; with more it is a list over layers of lists over directions of such tensors.
    `trace.at(layer, direction)` gives one layer's as a dictionary, `trace.read(layer)` what that
    layer read. Steps beyond a row's length hold 0. Tensors belong to the autograd graph of the
    output.

    Example:
        >>> import torch, gated
        >>> _, _, trace = gated.LSTM(3, 4)(torch.randn(5, 2, 3), trace=True)
        >>> sorted(trace), trace["f"].shape
        (['c', 'f', 'g', 'h', 'i', 'o'], torch.Size([5, 2, 4]))
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Mapping[str, Tensor]]],
        reads: Sequence[Mapping[str, Tensor]],
        leave: Callable[[Tensor], Tensor],
    ):
        """Values as an engine gave them, what it read, and how they are laid out for a caller."""
        self._layers: list[list[Mapping[str, Tensor]]] = [[*runs] for runs in layers]
        self._reads, self._leave = reads, leave
        self._laid_out: set[tuple[int, int]] = set()

    @classmethod
    def of(
        cls,
        layers: Sequence[Sequence[Mapping[str, Tensor]]],
        reads: Sequence[Mapping[str, Tensor]],
        leave: Callable[[Tensor], Tensor],
    ) -> Trace:
        """Values laid out when they are asked for; within a program, which ends before, at once."""
        if not torch.compiler.is_compiling():
            return cls(layers, reads, leave)

        def left(values: Mapping[str, Tensor]) -> Values:
            return {name: leave(value) for name, value in values.items()}

        return cls(
            [[left(v) for v in runs] for runs in layers], [left(r) for r in reads], _as_it_is
        )

    @classmethod
    def joined(cls, traces: Sequence[Trace], axis: int) -> Trace:
        """The traces of consecutive chunks of time as one; `axis` is that of time."""
        first = traces[0]

        def join(parts: Sequence[Values]) -> Values:
            return {name: torch.cat([part[name] for part in parts], axis) for name in parts[0]}

        layers, directions = range(first.num_layers), range(first.num_directions)
        return cls(
            [[join([t.at(i, j) for t in traces]) for j in directions] for i in layers],
            [join([t.read(i) for t in traces]) for i in layers],
            _as_it_is,
        )

    def at(self, layer: int = 0, direction: int = 0) -> Values:
        """One layer's values in one direction (0 forward, 1 reverse)."""
        if not (0 <= layer < self.num_layers and 0 <= direction < self.num_directions):
            raise IndexError(
                f"layer {layer}, direction {direction} was not traced: there are {self.num_layers} "
                f"layers and {self.num_directions} directions, counted from 0"
            )
        runs = self._layers[layer]
        if (layer, direction) not in self._laid_out:  # not before, as steps beyond a length cost
            runs[direction] = self._left(runs[direction])
            self._laid_out.add((layer, direction))
        return dict(runs[direction])

    def read(self, layer: int = 0) -> Values:
        """What one layer read, by the names of the cell's inputs."""
        return self._left(self._reads[layer])

    def select(self, names: Collection[str] | None, change: Callable[[Tensor], Tensor]) -> Trace:
        """A trace of some names, None for all, with every tensor changed.

        What shares memory with values that are left out is copied, so that these can be freed.
        """

        def taken(values: Mapping[str, Tensor]) -> Values:
            return {name: change(value) for name, value in values.items()}

        def named(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            if names is None:
                return values
            return _alone({name: value for name, value in values.items() if name in names})

        layers = [[taken(named(values)) for values in runs] for runs in self._layers]
        new = Trace(layers, [taken(read) for read in self._reads], self._leave)
        new._laid_out = {*self._laid_out}
        return new

    def _left(self, values: Mapping[str, Tensor]) -> Values:
        with torch.enable_grad():  # whatever the mode in which they are asked for
            return {name: self._leave(value) for name, value in values.items()}

    @property
    def num_layers(self) -> int:
        """How many layers were traced."""
        return len(self._layers)

    @property
    def num_directions(self) -> int:
        """How many directions each layer has."""
        return len(self._layers[0])

    def __getitem__(self, name: str) -> Traced:
        if name not in self._layers[0][0]:
            raise KeyError(f"{name!r} is not traced, these are: {', '.join(self._layers[0][0])}")
        if self.num_layers == self.num_directions == 1:
            return self.at()[name]
        directions = range(self.num_directions)
        return [[self.at(i, j)[name] for j in directions] for i in range(self.num_layers)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers[0][0])

    def __len__(self) -> int:
        return len(self._layers[0][0])

    def __repr__(self) -> str:
        shape = tuple(next(iter(self.at().values())).shape)
        return (
            f"Trace({', '.join(self)}: {self.num_layers} layers x {self.num_directions} "
            f"directions, first {shape})"
        )


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _alone(values: Values) -> Values:
    """The values, those copied that would hold on to more memory than theirs."""
    kept: dict[int, int] = {}
    for value in values.values():
        at = value.untyped_storage().data_ptr()
        kept[at] = kept.get(at, 0) + value.nbytes

    def own(value: Tensor) -> Tensor:
        memory = value.untyped_storage()
        return value.clone() if memory.nbytes() > kept[memory.data_ptr()] else value

    return {name: own(value) for name, value in values.items()}
