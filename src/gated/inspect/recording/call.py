"""One recorded call of a layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.errors import OptionError
from gated.layers import Recurrent
from gated.layers.arguments import as_lengths, as_resets
from gated.layers.trace import Trace

__all__ = ["Axes", "Call", "call_of", "joined"]


class Axes(NamedTuple):
    """How a caller's tensors are laid out: with an axis B at all, and whether it comes first."""

    batched: bool
    batch_first: bool

    def rows(self, value: Tensor) -> Tensor:
        """A caller's tensor as (B, T, ...)."""
        if not self.batched:
            return value.unsqueeze(0)
        return value if self.batch_first else value.transpose(0, 1)


@dataclass(frozen=True, repr=False)
class Call:
    """One call of a layer. Batch comes first in every tensor, whatever the layer's habit.

    Axes: B batch, T time, n the size of a value, L layers of the stack, S directions; the axes of
    an image or a signal stand behind n.

    Attributes:
        trace: the values as the layer's own call with `trace=True` gives them.
        lengths: (B,) int64 on the CPU, the valid steps of each row.
        starts, ends: the states before the first step and after each row's last, (L*S, B, n).
        resets: (B, T), where a row started anew; None if none could.
        continued: whether the caller gave the states to start from.
        axes: how the trace is laid out.
        shared: tensors of the trace in memory that the caller holds too, with their versions.
    """

    trace: Trace
    lengths: Tensor
    starts: Mapping[str, Tensor]
    ends: Mapping[str, Tensor]
    resets: Tensor | None
    continued: bool
    axes: Axes
    shared: tuple[tuple[Tensor, int], ...] = ()

    def __repr__(self) -> str:
        return f"Call(B={len(self.lengths)}, T={self.steps}, {', '.join(self.trace)})"

    def values(self, layer: int = 0, direction: int = 0) -> dict[str, Tensor]:
        """Gates and states of one layer in one direction, each (B, T, n).

        Steps stand where they do in the input, those of the reverse direction too. Beyond a row's
        length stands 0.

        Raises:
            IndexError: there is no such layer or direction.
            OptionError: the layer's input or output was changed in place after the call.
        """
        self._check_unchanged()
        return self._rows(self.trace.at(layer, direction))

    def inputs(self, layer: int = 0) -> dict[str, Tensor]:
        """What one layer of the stack read, by the names of the cell's inputs, each (B, T, n)."""
        self._check_unchanged()
        return self._rows(self.trace.read(layer))

    @property
    def x(self) -> Tensor:
        """(B, T, D) the sequence that the first layer read."""
        return next(iter(self.inputs().values()))

    @property
    def initial(self) -> dict[str, Tensor]:
        """The states (B, n) before the first step of the first layer, forward; see `starts`."""
        return {name: state[0] for name, state in self.starts.items()}

    @property
    def steps(self) -> int:
        """T."""
        return next(iter(self.inputs().values())).shape[1]

    def _rows(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.enable_grad():  # whatever the mode in which they are asked for
            return {name: self.axes.rows(value) for name, value in values.items()}

    def _check_unchanged(self) -> None:
        if any(tensor._version != version for tensor, version in self.shared):
            raise OptionError(
                "an input or output of the layer was changed in place after the call, and with it "
                "what was recorded: change a copy, as nn.ReLU() does and nn.ReLU(inplace=True) not"
            )

    def goes_on_from(self, before: Call) -> bool:
        """Whether it starts where another call ended, in every row that has not ended before."""
        if not self.continued or len(self.lengths) != len(before.lengths):
            return False
        whole = (before.lengths == before.steps) | (self.lengths == 0)
        states = zip(self.starts.values(), before.ends.values(), strict=True)
        return bool(whole.all()) and all(torch.equal(start.to(end), end) for start, end in states)


def joined(calls: list[Call]) -> Call:
    """Calls that go on from one another as one."""
    if len(calls) == 1:
        return calls[0]
    first, last = calls[0], calls[-1]
    layers, directions = range(first.trace.num_layers), range(first.trace.num_directions)

    def join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}

    trace = Trace(
        [[join([call.values(i, j) for call in calls]) for j in directions] for i in layers],
        [join([call.inputs(i) for call in calls]) for i in layers],
        lambda value: value,
    )
    resets = [
        torch.zeros((len(c.lengths), c.steps), dtype=torch.bool) if c.resets is None else c.resets
        for c in calls
    ]
    anew = torch.cat(resets, 1) if any(c.resets is not None for c in calls) else None
    lengths = torch.stack([call.lengths for call in calls]).sum(0)
    return replace(
        first, trace=trace, lengths=lengths, ends=last.ends, resets=anew, axes=Axes(True, True),
        shared=(),
    )  # fmt: skip


def call_of(
    layer: Recurrent, args: Any, kwargs: Mapping[str, Any], found: Any,
    names: Collection[str] | None, detach: bool,
) -> Call:  # fmt: skip
    """The call of a layer, from what it was passed and the three things that it returned.

    Args:
        names: the gates and states to keep, None for all.
        detach: whether to leave the autograd graph.
    """
    given = dict(zip(("x", "hx"), args, strict=False)) | dict(kwargs)
    x, hx, anew = given["x"], given.get("hx"), given.get("resets")
    output, states, trace = found
    visible = {_memory(tensor) for tensor in _tensors([*given.values(), output])}
    shared: list[tuple[Tensor, int]] = []

    def own(value: Tensor) -> Tensor:
        value = value.detach() if detach and value.requires_grad else value
        if _memory(value) not in visible:
            return value
        if value.is_inference():  # its changes are not counted
            return value.clone()
        shared.append((value, value._version))
        return value

    kept = trace.select(names, own)
    packed = isinstance(x, PackedSequence)
    batched = packed or x.dim() - layer._takes.extent == 3
    axes, cell = Axes(batched, layer.batch_first and not packed), layer.cell.name
    lengths = _lengths(x, given.get("lengths"), axes, cell)
    if anew is not None:
        anew = axes.rows(as_resets(anew, tuple(x.shape[: 1 + batched]), cell)).clone()
    return Call(
        kept, lengths, _initial(layer, hx, x, len(lengths), axes, detach),
        _by_name(layer, states, axes, detach), anew, hx is not None, axes, tuple(shared),
    )  # fmt: skip


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(values: Collection[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, PackedSequence):
            yield value.data
        elif isinstance(value, Tensor):
            yield value


def _lengths(x: Any, lengths: Any, axes: Axes, cell: str) -> Tensor:
    if isinstance(x, PackedSequence):
        sizes, order = x.batch_sizes, x.unsorted_indices
        ends = (sizes.unsqueeze(1) > torch.arange(int(sizes[0]))).sum(0)
        return ends if order is None else ends[order.cpu()]
    lead = x.shape[:2] if axes.batched else (x.shape[0], 1)
    batch, steps = lead if axes.batched and axes.batch_first else lead[::-1]
    if lengths is None:
        return torch.full((batch,), steps)
    return as_lengths(lengths, batch, steps, cell).clone()


def _initial(
    layer: Recurrent, hx: Any, x: Any, batch: int, axes: Axes, detach: bool
) -> dict[str, Tensor]:
    """The states before the first step, by name: the cell's own if the caller gave none."""
    if hx is not None:
        return _by_name(layer, hx, axes, detach)
    takes, data = layer._takes, x.data if isinstance(x, PackedSequence) else x
    lead, extent = takes.layers * takes.directions, data.shape[data.dim() - takes.extent :]
    units = zip(takes.states.items(), takes.values, strict=True)
    return {
        name: data.new_full((lead, batch, size, *extent), value) for (name, size), value in units
    }


def _by_name(layer: Recurrent, states: Any, axes: Axes, detach: bool) -> dict[str, Tensor]:
    """A caller's states by name, each (L*S, B, n)."""
    found = (states,) if isinstance(states, Tensor) else states
    copies = [(state.detach() if detach else state).clone() for state in found]
    return {
        name: state if axes.batched else state.unsqueeze(1)
        for name, state in zip(layer._takes.names, copies, strict=True)
    }
