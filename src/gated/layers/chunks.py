"""Truncated backpropagation through time: a sequence in chunks, each from detached states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.errors import OptionError
from gated.layers.options import check_size
from gated.layers.trace import Trace

if TYPE_CHECKING:
    from gated.layers.recurrent import Recurrent


def in_chunks(
    layer: Recurrent,
    steps: int,
    x: Tensor | PackedSequence,
    hx: Any,
    lengths: Tensor | Sequence[int] | None,
    resets: Tensor | None,
    trace: bool,
    inputs: Mapping[str, Tensor],
) -> Any:
    """Call a layer on chunks of so many steps; arguments and result as in a call on the whole.

    Raises:
        OptionError: the layer reads backwards too, or the sequence is packed.
    """
    check_size("truncate", steps)
    if layer.bidirectional or not isinstance(x, Tensor):
        raise OptionError(
            f"truncate={steps} cuts the sequence from its start to its end: it needs "
            f"bidirectional=False, and a padded tensor with lengths= for a PackedSequence"
        )
    axis = layer.time_axis(x)
    cut = {name: torch.split(value, steps, axis) for name, value in inputs.items()}
    if resets is not None:
        cut["resets"] = torch.split(resets, steps, axis)
    outputs, traces, states = [], [], hx
    for index, part in enumerate(torch.split(x, steps, axis)):
        own: dict[str, Any] = {name: parts[index] for name, parts in cut.items()}
        if lengths is not None:
            left = torch.as_tensor(lengths).cpu() - index * steps
            own["lengths"] = left.clamp(0, part.shape[axis])
        output, states, *traced = layer(part, states, trace=trace, **own)
        states = detached(states)
        outputs.append(output)
        traces += traced
    whole = torch.cat(outputs, axis)
    return (whole, states, Trace.joined(traces, axis)) if trace else (whole, states)


def detached(states: Any) -> Any:
    """The states without the graph that led to them."""
    if isinstance(states, tuple):
        return tuple(state.detach() for state in states)
    return states.detach()
