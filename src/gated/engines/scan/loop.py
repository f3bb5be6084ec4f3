"""The scan in PyTorch operations: a loop over time, or over the steps of many pieces at once.

    h_t = a_t h_(t-1) + b_t      shifted:  h_t = a_(t-1) h_(t-1) + b_t,  h_1 = initial + b_1

Where rows and units are few, most of a step's time is that of calling an operation. Then each row
is cut into pieces, about as many as they have steps, and the pieces run as rows of their own:

    1. from 0, each gives its end and the product of its coefficients;
    2. from piece to piece these give the state that each starts from;
    3. from there each runs again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gated.engines.scan.steps import Steps

# an operation on fewer numbers takes as long as on this many
_WIDE = 4096
# A piece whose coefficients may grow by more, or a state above it, is not put together from parts:
# their products could leave the range of numbers where those of the loop do not.
GROWTH = 2.0**32


def scan(
    a: Tensor, b: Tensor, initial: Tensor, steps: Steps, shifted: bool, length: int | None = None
) -> Tensor:
    """The states after each step, (N, n), from a and b (N, n) and the first ones (B, n).

    Args:
        a, b: coefficients and offsets, packed.
        initial: the states before the first step.
        steps: which rows reach which step.
        shifted: whether a step has the coefficient of the one before.
        length: the steps of a piece; None chooses, the whole of time is no cut.
    """
    if real(b) != b.dtype:
        a, wide, initial = (v.to(real(b)) for v in (a, b, initial))
        return scan(a, wide, initial, steps, shifted, length).to(b.dtype)
    out = torch.zeros_like(b)
    sizes = _sizes(steps)
    count = len(sizes)
    if length is None:
        length = math.ceil(count / _pieces(count, initial.numel()))
    if length < count:
        pieces = _Pieces(sizes, length, steps.reverse)
        if pieces.run(a, b, initial, shifted, out):
            return out
    _loop(a, b, initial, sizes, steps.reverse, shifted, out)
    return out


def real(value: Tensor) -> torch.dtype:
    """The type in which states are carried."""
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _sizes(steps: Steps) -> list[int]:
    if steps.sizes is None:
        return [steps.batch] * (steps.total // steps.batch)
    sizes: list[int] = steps.sizes.tolist()
    return [size for size in sizes if size]


def _pieces(count: int, width: int) -> int:
    """Into how many pieces each row is cut: the fewest operations, but none on few numbers."""
    if width >= _WIDE // 8:
        return 1
    return max(1, min(math.isqrt(count), _WIDE // width))


def _loop(
    a: Tensor, b: Tensor, initial: Tensor, sizes: Sequence[int], reverse: bool, shifted: bool,
    out: Tensor,
) -> None:  # fmt: skip
    total = sum(sizes)
    factors, offsets, results = (torch.split(v[:total], list(sizes)) for v in (a, b, out))
    order = range(len(sizes))
    state, reached, last = initial, 0, 0
    for t in reversed(order) if reverse else order:
        want, here = sizes[t], results[t]
        stay = min(want, reached)
        if want > stay:
            new = slice(stay, want)
            if shifted:
                torch.add(offsets[t][new], initial[new], out=here[new])
            else:
                torch.addcmul(offsets[t][new], factors[t][new], initial[new], out=here[new])
        if stay:
            factor, old = factors[last if shifted else t], slice(stay)
            if stay == want == reached:
                torch.addcmul(offsets[t], factor, state, out=here)
            else:
                torch.addcmul(offsets[t][old], factor[old], state[old], out=here[old])
        state, reached, last = here, want, t


class _Pieces:
    """Rows cut into pieces, which stand as rows sorted by length: whole ones first.

    Axes: K pieces of a row, L steps of a piece, V pieces in all.
    """

    def __init__(self, sizes: Sequence[int], length: int, reverse: bool):
        reach = torch.tensor(sizes)
        batch, count = sizes[0], len(sizes)
        lengths = torch.searchsorted(-reach, -torch.arange(batch))
        first = torch.arange(0, count, length).unsqueeze(1)
        rest = (lengths - first).clamp(0, length).flatten()  # (K * B,)
        order = torch.argsort(rest, descending=True, stable=True)
        order = order[: int((rest > 0).sum())]
        # where the pieces of each row stand, (K, B)
        self.place = torch.empty_like(rest)
        self.place[order] = torch.arange(len(order))
        self.place = self.place.view(-1, batch)
        self.reached = reach[first.flatten()].tolist()
        row, start = order % batch, first.flatten()[order // batch]
        step = torch.arange(length).unsqueeze(1)
        here = step < rest[order]
        self.sizes = here.sum(1).tolist()
        in_order = (start + step)[here]
        at = row.expand(length, -1)[here]
        offsets = reach.cumsum(0) - reach

        def stands(moment: Tensor) -> Tensor:
            """Where steps stand that are counted from each row's beginning."""
            t = lengths[at] - 1 - moment if reverse else moment
            return offsets[t] + at

        self.index = stands(in_order)
        self.begins = in_order == 0
        self.previous = stands((in_order - 1).clamp(min=0))

    def run(self, a: Tensor, b: Tensor, initial: Tensor, shifted: bool, out: Tensor) -> bool:
        """Whether it could be done: the states after each step are in `out`."""
        a = a.index_select(0, self.previous if shifted else self.index)
        b = b.index_select(0, self.index)
        if shifted:
            a[self.begins] = 1
        begin = self._starts(a, b, initial)
        if begin is None:
            return False
        found = torch.empty_like(b)
        _loop(a, b, begin, self.sizes, False, False, found)
        out.index_copy_(0, self.index, found)
        return True

    def _starts(self, a: Tensor, b: Tensor, initial: Tensor) -> Tensor | None:
        """The states from which the pieces start, (V, n); None if parts may not be put together."""
        shape = (self.sizes[0], b.shape[1])
        product, end, growth = b.new_ones(shape), b.new_zeros(shape), b.new_ones(shape)
        grows = bool((a.abs() > 1).any())
        for factor, offset in zip(
            torch.split(a, self.sizes), torch.split(b, self.sizes), strict=True
        ):
            some = slice(len(factor))
            product[some].mul_(factor)
            torch.addcmul(offset, factor, end[some], out=end[some])
            if grows:
                growth[some].mul_(factor.abs().clamp_(min=1))
        begin, state = torch.empty_like(end), initial.clone()
        for places, reached in zip(self.place, self.reached, strict=True):
            at, now = places[:reached], state[:reached]
            begin[at] = now
            torch.addcmul(end[at], product[at], now, out=now)
        bounded = (begin.abs() <= GROWTH).all() & (state.abs() <= GROWTH).all()
        return begin if bounded and (growth <= GROWTH).all() else None
