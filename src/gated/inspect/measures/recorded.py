"""A recording as the arrays that measures take: all calls of a layer, their rows in one array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gated.errors import OptionError
from gated.inspect.measures.arrays import Floats, Mask, in_reading_order, valid_steps
from gated.inspect.recording.recordings import LayerRecording, Recording

__all__ = ["Steps", "steps_of"]


@dataclass(frozen=True)
class Steps:
    """All calls of one layer and direction as arrays. Axes: B rows of all calls, T, n units.

    Attributes:
        values: gates and states by name, (B, T, n), in time order of the input; 0 at padding.
        inputs: what the layer read, by the names of the cell's inputs.
        valid: (B, T), as the measures take it.
        fresh: (B, T), whether the step starts from a fresh state: a row's first in the order in
            which the direction reads, or after a reset.
        lengths: (B,).
        reverse: whether the direction reads from the end.
    """

    values: dict[str, Floats]
    inputs: dict[str, Floats]
    valid: Mask
    fresh: Mask
    lengths: NDArray[np.int64]
    reverse: bool

    def as_read(self, values: Floats) -> Floats:
        """Values (B, T, n) in the order in which the direction reads."""
        return in_reading_order(values, self.lengths) if self.reverse else values


def steps_of(recorded: LayerRecording, layer: int = 0, direction: int = 0) -> Steps:
    """All calls of a recorded layer as arrays, their rows one after the other.

    Of a convolutional layer every position is a row, and its channels are the units.

    Raises:
        OptionError: nothing was recorded, or `recorded` is no recording of one layer.

    Example:
        >>> import torch, gated
        >>> model = gated.LSTM(3, 4)
        >>> with gated.record(model) as recording:
        ...     _ = model(torch.randn(5, 2, 3), lengths=[5, 3])
        >>> found = steps_of(recording["layer"])
        >>> found.values["f"].shape, found.valid.sum(axis=1)
        ((2, 5, 4), array([5, 3]))
    """
    if not isinstance(recorded, LayerRecording):
        raise OptionError(_not_a_layer(recorded))
    if not recorded.calls:
        raise OptionError(
            f"{recorded.name}: no call was recorded; run the model inside `with gated.record(...)`"
        )
    longest = max(call.steps for call in recorded.calls)
    values = [_arrays(call.values(layer, direction), longest) for call in recorded.calls]
    inputs = [_arrays(call.inputs(layer), longest) for call in recorded.calls]
    positions = [len(next(iter(v.values()))) // max(1, len(call.lengths))
                 for v, call in zip(values, recorded.calls, strict=True)]  # fmt: skip
    lengths = [call.lengths.numpy() for call in recorded.calls]
    fresh = [_fresh(call.resets, own, longest, direction == 1)
             for call, own in zip(recorded.calls, lengths, strict=True)]  # fmt: skip
    known = np.concatenate([np.repeat(n, p) for n, p in zip(lengths, positions, strict=True)])
    return Steps(
        _joined(values), _joined(inputs), valid_steps(known, longest),
        np.concatenate([np.repeat(f, p, axis=0) for f, p in zip(fresh, positions, strict=True)]),
        known, direction == 1,
    )  # fmt: skip


def _not_a_layer(given: object) -> str:
    got, how = f"got {type(given).__name__}, expected what was recorded of one layer", "['rnn']"
    if isinstance(given, Recording):
        how = " or ".join(f"[{name!r}]" for name in given) or how
    return f"{got}: within `with gated.record(model) as recording`, recording{how}"


def _arrays(values: Mapping[str, torch.Tensor], longest: int) -> dict[str, Floats]:
    """(B, T, n, *extent) each as (rows, longest, n): a position of an image is a row."""
    found = {}
    for name, value in values.items():
        array = value.detach().double().cpu().movedim(2, -1).movedim(1, -2)
        array = array.reshape(-1, *array.shape[-2:])
        found[name] = np.pad(array.numpy(), ((0, 0), (0, longest - array.shape[1]), (0, 0)))
    return found


def _joined(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fresh(
    resets: torch.Tensor | None, lengths: NDArray[np.int64], steps: int, reverse: bool
) -> Mask:
    """(B, T): which steps start from a fresh state."""
    anew = np.zeros((len(lengths), steps), bool)
    if resets is not None:
        anew[:, : resets.shape[1]] = resets.cpu().numpy()
    if not reverse:
        anew[:, :1] = True
        return anew
    before = np.zeros_like(anew)
    before[:, :-1] = anew[:, 1:]
    rows = np.flatnonzero(lengths)
    before[rows, lengths[rows] - 1] = True
    return before
