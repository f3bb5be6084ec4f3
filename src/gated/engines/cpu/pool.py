"""Large buffers that are used again: fresh memory costs the system a third of a training step.

A block comes back when the last tensor on it is gone. Few are kept, and a block serves whatever
fills half of it, so that memory does not grow with the number of shapes seen; what many calls have
had no use for goes back to the system.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_LARGE = 1 << 20  # bytes; smaller ones come from the allocator's own free lists
_MOST = 8  # blocks kept for later
_PATIENCE = 400  # requests after which a block that served none of them goes
_HUGE = 1 << 21  # bytes of a huge page

_TYPES = {torch.float32: np.float32, torch.float64: np.float64}

# with the number of requests when it came back, the oldest first
_free: list[tuple[int, mmap.mmap]] = []
_requests = 0


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor of the type of `like` on the CPU whose numbers are not set."""
    global _requests
    _requests += 1
    oldest = _free[:1]
    if oldest and _requests - oldest[0][0] > _PATIENCE:
        del _free[:1]
    count = math.prod(shape)
    need = count * like.element_size()
    if need < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_empty(shape)
    block = _take(need)
    owner = np.frombuffer(block, _TYPES[like.dtype], count)
    back = weakref.finalize(owner, _give_back, block)
    back.atexit = False
    # no view of a tensor: autograd forbids to write to those, and saving one saves all of its block
    return torch.from_numpy(owner.reshape(shape))


def _take(need: int) -> mmap.mmap:
    # another thread, or a collection of garbage in this one, may change the list at any moment
    while fitting := [one for one in _free if need <= len(one[1]) <= 2 * need + _HUGE]:
        found = min(fitting, key=lambda one: len(one[1]))
        try:
            _free.remove(found)
        except ValueError:
            continue
        return found[1]
    block = mmap.mmap(-1, -(-need // _HUGE) * _HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    _free.append((_requests, block))
    del _free[:-_MOST]  # those that nobody wanted for the longest time
