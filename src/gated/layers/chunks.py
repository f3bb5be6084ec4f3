"""Truncated backpropagation through time: a sequence in chunks, each from detached states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gated.layers.trace import Trace


def in_chunks(
    run: Callable[..., Any],
    steps: int,
    axis: int,
    x: Tensor,
    hx: Any,
    lengths: Tensor | Sequence[int] | None,
    resets: Tensor | None,
    trace: bool,
    inputs: Mapping[str, Tensor],
) -> Any:
    """Run a layer over chunks of so many steps.

    Args:
        run: the layer, to be called with the arguments from `x` on, for a chunk.
        steps: of a chunk; the last may be shorter.
        axis: that of time.
        x, hx, lengths, resets, trace, inputs: as in a call of the layer, checked.

    Returns:
        What a call on the whole returns. The final state of a row keeps the graph of the chunk in
        which the row ends.
    """
    outputs, traces, final = [], [], hx
    parts = {name: torch.split(value, steps, axis) for name, value in inputs.items()}
    starts = None if resets is None else torch.split(resets, steps, axis)
    left = None if lengths is None else torch.as_tensor(lengths).cpu()
    for index, part in enumerate(torch.split(x, steps, axis)):
        own = None if left is None else (left - index * steps).clamp(0, steps)
        output, states, *traced = run(
            part,
            _each(Tensor.detach, final) if index else hx,
            own,
            None if starts is None else starts[index],
            trace,
            {name: chunks[index] for name, chunks in parts.items()},
        )
        final = states if own is None or not index else _where(own > 0, states, final)
        outputs.append(output)
        traces += traced
    whole = torch.cat(outputs, axis)
    return (whole, final, Trace.joined(traces, axis)) if trace else (whole, final)


def _where(rows: Tensor, states: Any, others: Any) -> Any:
    """These states in some rows, the others elsewhere; rows (B,), a state (L, B, ...)."""

    def choose(state: Tensor, other: Tensor) -> Tensor:
        mask = rows.to(state.device).view(-1, *[1] * (state.dim() - 2))
        return torch.where(mask, state, other)

    return _each(choose, states, others)


def _each(change: Callable[..., Tensor], *states: Any) -> Any:
    """Every state changed, of a tuple or alone."""
    if isinstance(states[0], tuple):
        return tuple(change(*values) for values in zip(*states, strict=True))
    return change(*states)
