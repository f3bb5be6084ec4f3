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
        What a call on the whole returns.
    """
    outputs, traces, states = [], [], hx
    parts = {name: torch.split(value, steps, axis) for name, value in inputs.items()}
    starts = None if resets is None else torch.split(resets, steps, axis)
    left = None if lengths is None else torch.as_tensor(lengths).cpu()
    for index, part in enumerate(torch.split(x, steps, axis)):
        output, states, *traced = run(
            part,
            detached(states) if index else hx,
            None if left is None else (left - index * steps).clamp(0, part.shape[axis]),
            None if starts is None else starts[index],
            trace,
            {name: chunks[index] for name, chunks in parts.items()},
        )
        outputs.append(output)
        traces += traced
    whole = torch.cat(outputs, axis)
    return (whole, states, Trace.joined(traces, axis)) if trace else (whole, states)


def detached(states: Any) -> Any:
    """The states without the graph that led to them."""
    if isinstance(states, tuple):
        return tuple(state.detach() for state in states)
    return states.detach()
