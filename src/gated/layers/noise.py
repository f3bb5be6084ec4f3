"""Drawing what a cell's regularisers ask for in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gated.equations.graph import length
from gated.equations.layout import Slot
from gated.equations.noise import Noise
from gated.layers.ragged import Ragged


def draw(
    noise: Sequence[Noise], sizes: Sequence[Mapping[str, int]], like: Tensor, ragged: Ragged | None
) -> list[dict[str, Tensor]]:
    """The noise that goes in as inputs, for each layer and direction.

    Axes: as in `Arrangement`.

    Args:
        noise: what to draw.
        sizes: the lengths of the cell's letters in each layer and direction.
        like: the sequence as an engine takes it, (T, B, *extent, D) or (N, *extent, D).
        ragged: how rows are packed, None if they are not.
    """
    inputs = [one for one in noise if one.scope != "weights"]
    return [{one.name: _input(one, known, like, ragged) for one in inputs} for known in sizes]


def _input(noise: Noise, sizes: Mapping[str, int], like: Tensor, ragged: Ragged | None) -> Tensor:
    units = length(noise.size, sizes)
    if noise.scope == "step":
        return _hits(noise, like.new_empty((*like.shape[:-1], units)))
    if ragged is None:
        return _hits(noise, like.new_empty((*like.shape[1:-1], units))).expand(
            like.shape[0], *[-1] * (like.dim() - 1)
        )
    rows = like.new_empty((ragged.batch, *like.shape[1:-1], units))
    return ragged.spread(_hits(noise, rows))


def _hits(noise: Noise, empty: Tensor) -> Tensor:
    if not noise.scaled:
        return empty.bernoulli_(noise.rate)
    return empty.bernoulli_(1 - noise.rate).div_(1 - noise.rate)


def hit_weights(
    noise: Sequence[Noise], layout: Sequence[Slot], weights: Sequence[Tensor]
) -> list[Tensor]:
    """The weights, those that are to be hit with fresh noise, one draw for each stored tensor."""
    found = list(weights)
    for one in noise:
        if one.scope == "weights":
            found = [
                _hit(one, layout[place % len(layout)], weight) for place, weight in enumerate(found)
            ]
    return found


def _hit(noise: Noise, slot: Slot, weight: Tensor) -> Tensor:
    if not set(slot.keys) & set(noise.keys):
        return weight
    masks = [
        _hits(noise, torch.empty_like(block)) if key in noise.keys else torch.ones_like(block)
        for key, block in zip(slot.keys, weight.detach().chunk(len(slot.keys)), strict=True)
    ]
    return weight * torch.cat(masks)
