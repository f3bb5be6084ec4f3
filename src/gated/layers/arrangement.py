"""`Arrangement`: from the axes of a caller's tensors to those of an engine, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.layers.ragged import Ragged


class Arrangement(NamedTuple):
    """How the tensors of one call are laid out.

    Axes: T time, B batch, N packed steps, n the size of a value. A caller's tensor is
    (T, B, n, *extent), (B, T, n, *extent) if `batch_first`, or without B; an engine's is
    (T, B, *extent, n), or (N, *extent, n).

    Attributes:
        packed: the caller's sequence, if it is a PackedSequence.
        batched: whether there is an axis B.
        batch_first: whether B stands before T.
        extent: the lengths of the further axes, of an image or a signal.
        ragged: how the rows' valid steps are packed, None if all reach T.
    """

    packed: PackedSequence | None
    batched: bool
    batch_first: bool
    extent: tuple[int, ...]
    ragged: Ragged | None

    @property
    def plain(self) -> bool:
        """Whether a caller's tensors are laid out as an engine's."""
        return self.batched and not (self.batch_first or self.extent) and self.ragged is None

    def enter(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inputs as an engine takes them."""
        if self.plain:
            return dict(values)
        return {name: self._enter(value) for name, value in values.items()}

    def _enter(self, value: Tensor) -> Tensor:
        if self.packed is not None:
            return value
        value = self.steps_first(value)
        if self.extent:
            value = value.movedim(2, -1)
        return value if self.ragged is None else self.ragged.pack(value)

    def steps_first(self, value: Tensor) -> Tensor:
        """A caller's tensor as (T, B, ...)."""
        if not self.batched:
            return value.unsqueeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def enter_states(self, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The caller's states, each (L * S, B, n, *extent) or without B, as an engine's."""
        if not self.batched:
            states = [state.unsqueeze(1) for state in states]
        if self.extent:
            states = [state.movedim(2, -1) for state in states]
        return tuple(states)

    def leave(self, value: Tensor) -> Tensor:
        """What an engine returned over time, laid out as the caller's input is."""
        if self.plain:
            return value
        if self.ragged is not None:
            value = self.ragged.unpack(value)
        if self.extent:
            value = value.movedim(-1, 2)
        if not self.batched:
            return value.squeeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def leave_output(self, output: Tensor) -> Tensor | PackedSequence:
        """The output as the caller's sequence came: a tensor or a PackedSequence."""
        if self is PLAIN:
            return output
        if self.packed is None:
            return self.leave(output)
        # not _replace: torch.compile makes an empty tuple of it
        return PackedSequence(output, *self.packed[1:])

    def leave_states(
        self, final: Sequence[Tensor], initial: Sequence[Tensor]
    ) -> Tensor | tuple[Tensor, ...]:
        """The final states as the caller has them: one tensor, or a tuple."""
        if self.batched and self.ragged is None and not self.extent:
            return tuple(final) if len(final) > 1 else final[0]
        if self.ragged is not None:
            final = self.ragged.restore(final, initial)
        if self.extent:
            final = [state.movedim(-1, 2) for state in final]
        if not self.batched:
            final = [state.squeeze(1) for state in final]
        return tuple(final) if len(final) > 1 else final[0]


# that of most calls: (T, B, n), all rows of length T
PLAIN = Arrangement(None, True, False, (), None)
