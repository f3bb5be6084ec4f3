"""`Trace`: every gate and state of a layer over time, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Traced: TypeAlias = Tensor | list[list[Tensor]]


class Trace(Mapping[str, Traced]):
    """Every gate and state over time: `trace["f"]`.

    With one layer and one direction, `trace["f"]` is a tensor (T, B, H), (B, T, H) if the layer is
    `batch_first`; with more it is a list over layers of lists over directions of such tensors.
    `trace.at(layer, direction)` gives one layer's as a dictionary. Steps beyond a row's length
    hold 0. Tensors belong to the autograd graph of the output.

    Example:
        >>> import torch, gated
        >>> _, _, trace = gated.LSTM(3, 4)(torch.randn(5, 2, 3), trace=True)
        >>> sorted(trace), trace["f"].shape
        (['c', 'f', 'g', 'h', 'i', 'o'], torch.Size([5, 2, 4]))
    """

    def __init__(self, layers: list[list[dict[str, Tensor]]]):
        self._layers = layers

    @classmethod
    def joined(cls, traces: Sequence[Trace], axis: int) -> Trace:
        """The traces of consecutive chunks of time as one; `axis` is that of time."""
        first = traces[0]
        return cls(
            [
                [
                    {name: torch.cat([t.at(i, j)[name] for t in traces], axis) for name in first}
                    for j in range(first.num_directions)
                ]
                for i in range(first.num_layers)
            ]
        )

    def at(self, layer: int = 0, direction: int = 0) -> dict[str, Tensor]:
        """One layer's values in one direction (0 forward, 1 reverse)."""
        if not (0 <= layer < self.num_layers and 0 <= direction < self.num_directions):
            raise IndexError(
                f"layer {layer}, direction {direction} was not traced: there are {self.num_layers} "
                f"layers and {self.num_directions} directions, counted from 0"
            )
        return self._layers[layer][direction]

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
            return self._layers[0][0][name]
        return [[values[name] for values in layer] for layer in self._layers]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers[0][0])

    def __len__(self) -> int:
        return len(self._layers[0][0])

    def __repr__(self) -> str:
        shape = tuple(next(iter(self._layers[0][0].values())).shape)
        return (
            f"Trace({', '.join(self)}: {self.num_layers} layers x {self.num_directions} "
            f"directions, first {shape})"
        )
