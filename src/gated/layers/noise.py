"""Drawing what a cell's regularisers ask for in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gated.equations.graph import length
from gated.equations.layout import Slot
from gated.equations.noise import Noise
from gated.layers.ragged import Ragged


class Draws:
    """The noise of one call. What is drawn once a call is the same in all chunks of its time.

    Args:
        noise: what to draw.
        layout: how the cell's parameters are stored.
        places: the lengths of the cell's letters in each layer and direction.
    """

    def __init__(
        self, noise: Sequence[Noise], layout: Sequence[Slot], places: Sequence[Mapping[str, int]]
    ):
        self._noise, self._layout, self._places = noise, layout, places
        self._rows: dict[tuple[int, str], Tensor] = {}
        self._masks: dict[tuple[int, str], Tensor] = {}

    def inputs(self, like: Tensor, ragged: Ragged | None) -> list[dict[str, Tensor]]:
        """The noise that goes in as inputs, for each layer and direction; empty if there is none.

        Axes: as in `Arrangement`.

        Args:
            like: the sequence as an engine takes it, (T, B, *extent, D) or (N, *extent, D).
            ragged: how rows are packed, None if they are not.
        """
        asked = [one for one in self._noise if one.scope != "weights"]
        return [
            {one.name: self._input(one, place, like, ragged) for one in asked}
            for place in range(len(self._places) if asked else 0)
        ]

    def _input(self, noise: Noise, place: int, like: Tensor, ragged: Ragged | None) -> Tensor:
        units = length(noise.size, self._places[place])
        if noise.scope == "step":
            return _hits(noise, like.new_empty((*like.shape[:-1], units)))
        batch = like.shape[1] if ragged is None else ragged.batch
        extent = like.shape[2 if ragged is None else 1 : -1]
        key = (place, noise.name)
        if key not in self._rows:
            self._rows[key] = _hits(noise, like.new_empty((batch, *extent, units)))
        rows = self._rows[key]
        return rows.expand(len(like), *rows.shape) if ragged is None else ragged.spread(rows)

    def weights(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The weights, those that are to be hit with a mask of their own on them."""
        found = list(weights)
        for one in self._noise:
            for place in range(len(found) if one.scope == "weights" else 0):
                slot = self._layout[place % len(self._layout)]
                if not set(slot.keys).isdisjoint(one.keys):
                    found[place] = found[place] * self._mask(one, place, slot, found[place])
        return found

    def _mask(self, noise: Noise, place: int, slot: Slot, weight: Tensor) -> Tensor:
        key = (place, noise.name)
        if key not in self._masks:
            blocks = zip(slot.keys, weight.detach().chunk(len(slot.keys)), strict=True)
            masks = [
                _hits(noise, torch.empty_like(block))
                if name in noise.keys
                else torch.ones_like(block)
                for name, block in blocks
            ]
            self._masks[key] = torch.cat(masks)
        return self._masks[key]


def _hits(noise: Noise, empty: Tensor) -> Tensor:
    if not noise.scaled:
        return empty.bernoulli_(noise.rate)
    return empty.bernoulli_(1 - noise.rate).div_(1 - noise.rate)
