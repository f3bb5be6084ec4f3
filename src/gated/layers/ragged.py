"""`Ragged`: rows of unequal length, packed so that what lies beyond them is never read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.engines.indices import on_device


class Ragged:
    """The valid steps of a batch of rows, in the order of a PackedSequence.

    Axes: T time, B batch, n any further axes, N the sum of the lengths, R the number of rows that
    have a step at all.

    Args:
        steps, batch: T and B.
        batch_sizes: the number of rows that reach each step, up to the longest, on the CPU.
        order: (R,) the rows from the longest to the shortest; None if they stand so already.
        device: where values live.
    """

    # whether T and N are as if all rows reached T
    padded = False

    def __init__(
        self,
        steps: int,
        batch: int,
        batch_sizes: Tensor,
        order: Tensor | None,
        device: torch.device,
    ):
        self.steps, self.batch, self.batch_sizes = steps, batch, batch_sizes
        self.order = None if order is None else on_device(order, device)
        self._rows = order
        self._found: Tensor | None = None

    @classmethod
    def from_lengths(cls, lengths: Tensor, steps: int, device: torch.device) -> Ragged:
        """The rows of a padded batch; `lengths` are on the CPU."""
        ordered, order = lengths.sort(descending=True, stable=True)
        rows = int(lengths.count_nonzero())
        return cls(steps, len(lengths), batch_sizes(ordered), order[:rows], device)

    @classmethod
    def from_packed(cls, packed: PackedSequence) -> Ragged:
        """The rows of a PackedSequence, in the order that they had before they were packed."""
        sizes = packed.batch_sizes
        return cls(len(sizes), int(sizes[0]), sizes, packed.sorted_indices, packed.data.device)

    def pack(self, value: Tensor) -> Tensor:
        """(T, B, n) to (N, n)."""
        return value.flatten(0, 1).index_select(0, on_device(self._places, value.device))

    def unpack(self, data: Tensor) -> Tensor:
        """(N, n) to (T, B, n), 0 where a row has ended."""
        blank = data.new_zeros((self.steps * self.batch, *data.shape[1:]))
        whole = blank.index_copy(0, on_device(self._places, data.device), data)
        return whole.view(self.steps, self.batch, *data.shape[1:])

    def spread(self, value: Tensor) -> Tensor:
        """(B, n), one for each row, to (N, n), one for each of its steps."""
        return value.index_select(0, on_device(self._places % self.batch, value.device))

    def sort(self, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states (L * S, B, n) of the rows in order, (L * S, R, n)."""
        order = self.order
        return tuple(states) if order is None else tuple(s.index_select(1, order) for s in states)

    def restore(self, final: Sequence[Tensor], initial: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Undo `sort`; a row without a step keeps its initial state."""
        order = self.order
        if order is None:
            return tuple(final)
        return tuple(a.index_copy(1, order, b) for a, b in zip(initial, final, strict=True))

    @property
    def _places(self) -> Tensor:
        """(N,) where each packed step stands in the flattened (T, B)."""
        if self._found is None:  # no cached_property: torch.compile cannot trace its lock
            self._found = self._find()
        return self._found

    def _find(self) -> Tensor:
        rows = torch.arange(self.batch) if self._rows is None else self._rows.cpu()
        step, row = (torch.arange(len(rows)) < self.batch_sizes.unsqueeze(1)).nonzero(as_tuple=True)
        return step * self.batch + rows[row]


class Padded(Ragged):
    """All T * B steps of a batch of rows, the valid ones first: no size depends on a length.

    For programs that `torch.compile` and `torch.export` make of a call.

    Args:
        lengths: (B,) on the CPU.
        steps: T.
        device: where values live.
    """

    padded = True

    def __init__(self, lengths: Tensor, steps: int, device: torch.device):
        ordered, order = lengths.sort(descending=True, stable=True)
        reached = torch.arange(steps).unsqueeze(1) < ordered
        super().__init__(steps, lengths.shape[0], reached.sum(1), order, device)
        self._reached = reached.flatten()

    def pack(self, value: Tensor) -> Tensor:
        """(T, B, n) to (N, n), 0 behind the valid steps."""
        packed = super().pack(value)
        valid = torch.arange(packed.shape[0]) < self._reached.sum()
        mask = valid.to(value.device).view(-1, *[1] * (packed.dim() - 1))
        return torch.where(mask, packed, 0.0)

    def _find(self) -> Tensor:
        assert self._rows is not None, "the constructor gave it"
        first = torch.argsort(~self._reached, stable=True)
        step, k = first // self.batch, first % self.batch
        return step * self.batch + self._rows[k]


class Episodes(Ragged):
    """Rows cut where they start anew: each episode is run as a row of its own.

    So a reset costs no operation in the step, and no value crosses it, neither forward nor
    backward. An episode starts from the cell's initial values, but for the first of a row, and in
    the second direction, which reads backwards, the last of it: these start from the state given.

    Axes: as above, R the number of episodes.

    Args:
        lengths: (B,) on the CPU.
        resets: (T, B), true where a row starts anew before that step, on the CPU.
        directions: S.
        values: the initial value of each state.
        device: where states live.
    """

    def __init__(
        self,
        lengths: Tensor,
        resets: Tensor,
        directions: int,
        values: Sequence[float],
        device: torch.device,
    ):
        steps, batch = resets.shape
        valid = torch.arange(steps).unsqueeze(1) < lengths
        starts = resets & valid
        starts[:1] |= valid[:1]
        row, start = starts.T.nonzero(as_tuple=True)
        last = torch.ones_like(row, dtype=torch.bool)
        last[:-1] = row[1:] != row[:-1]
        end = torch.where(last, lengths[row], start.roll(-1))
        length, order = (end - start).sort(descending=True, stable=True)
        super().__init__(steps, batch, batch_sizes(length), row[order], device)
        self._starts = start[order]
        goes_on = (start == 0) & ~resets[start, row]
        self._values = values
        # for each direction, which episodes start from the state given, and which end the row
        fresh = [~goes_on[order], ~last[order]][:directions]
        ends = [last[order], (start == 0)[order]][:directions]
        self._fresh = torch.stack(fresh).to(device)
        self._ends = torch.stack([mask.nonzero().squeeze(1) for mask in ends]).to(device)

    def sort(self, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The state before each episode, (L * S, R, n)."""
        found = []
        for state, value in zip(super().sort(states), self._values, strict=True):
            fresh = self._fresh.repeat(len(state) // len(self._fresh), 1)
            shape = (*fresh.shape, *[1] * (state.dim() - 2))
            found.append(torch.where(fresh.view(shape), state.new_tensor(value), state))
        return tuple(found)

    def restore(self, final: Sequence[Tensor], initial: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The state after the last episode of each row that has one."""
        found = []
        for before, after in zip(initial, final, strict=True):
            places = range(len(after))
            ends = [self._ends[place % len(self._ends)] for place in places]
            assert self.order is not None, "the constructor gave it"
            found.append(
                torch.stack(
                    [
                        before[k].index_copy(0, self.order[ends[k]], after[k][ends[k]])
                        for k in places
                    ]
                )
            )
        return tuple(found)

    def _find(self) -> Tensor:
        assert self._rows is not None, "the constructor gave it"
        rows = self._rows
        step, k = (torch.arange(len(rows)) < self.batch_sizes.unsqueeze(1)).nonzero(as_tuple=True)
        return (self._starts[k] + step) * self.batch + rows[k]


def batch_sizes(lengths: Tensor) -> Tensor:
    """The number of rows that reach each step, from their lengths, longest first."""
    longest = int(lengths.max()) if len(lengths) else 0
    return (torch.arange(longest).unsqueeze(1) < lengths).sum(1)
