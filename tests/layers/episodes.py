"""Rows that start anew, run by hand: one episode after the other, each by a call of its own."""

from __future__ import annotations

from typing import Any

import torch
from cell_cases import as_hx, as_states, each
from torch import Tensor

import gated


def spans(resets: Tensor, length: int) -> list[tuple[int, int]]:
    """The episodes of one row: where each starts, and where it ends."""
    starts = sorted({0, *(int(t) for t in resets.nonzero() if t < length)})
    return list(zip(starts, [*starts[1:], length], strict=True)) if length else []


def by_hand(
    layer: gated.Recurrent,
    inputs: dict[str, Tensor],
    states: list[Tensor],
    resets: Tensor,
    lengths: list[int],
) -> tuple[Tensor, list[Tensor]]:
    """Outputs and final states of a layer over rows cut into their episodes."""
    outputs, finals = [], []
    for row, length in enumerate(lengths):
        given = [state[:, row : row + 1] for state in states]
        own = each(lambda v, k=row: v[:, k : k + 1], inputs)
        output, final = _row(layer, own, given, resets[:, row], length)
        outputs.append(output)
        finals.append(final)
    final = [torch.cat(rows, 1) for rows in zip(*finals, strict=True)]
    return torch.cat(outputs, 1), final


def _row(
    layer: gated.Recurrent, inputs: dict[str, Tensor], given: list[Tensor], resets: Tensor, end: int
) -> tuple[Tensor, list[Tensor]]:
    final, fresh = given, _fresh(layer, given)
    width = given[0].shape[-1] * layer.num_directions
    outputs = []
    for start, stop in spans(resets, end):
        # for each direction: the first goes on from the row's start, the second from its end
        hx = _choose(layer, given, fresh, (start == 0 and not resets[0], stop == end))
        output, last = layer(**each(lambda v, a=start, z=stop: v[a:z], inputs), hx=as_hx(hx))
        final = _choose(layer, as_states(last), final, (stop == end, start == 0))
        outputs.append(output)
    outputs.append(inputs["x"].new_zeros(len(resets) - end, 1, width))
    return torch.cat(outputs), final


def _choose(
    layer: gated.Recurrent, these: list[Tensor], those: list[Tensor], where: tuple[bool, bool]
) -> list[Tensor]:
    """These states in the directions where it says so, those in the others."""
    rows = [where[k % layer.num_directions] for k in range(len(these[0]))]
    return [
        torch.stack([a if which else b for a, b, which in zip(this, that, rows, strict=True)])
        for this, that in zip(these, those, strict=True)
    ]


def _fresh(layer: gated.Recurrent, like: list[Tensor]) -> list[Tensor]:
    """The values that the cell's states have before the first step."""
    start = [state.initial for state in layer.cell.states]
    return [torch.full_like(v, value) for v, value in zip(like, start, strict=True)]


def table(rows: list[list[int]], steps: int) -> Tensor:
    """Resets (T, B) from the steps at which each row starts anew."""
    found = torch.zeros(steps, len(rows), dtype=torch.bool)
    for row, where in enumerate(rows):
        found[where, row] = True
    return found


def weigh(output: Tensor, states: Any) -> Tensor:
    """A loss that no two elements enter alike."""
    found = (
        output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    ).sum()
    for k, state in enumerate(as_states(states)):
        found = found + ((k + 0.5) * state).pow(2).sum()
    return found
