"""Large buffers that are used again: fresh memory costs the system a third of a training step.

A block comes back when the last tensor on it is gone. Few are kept, and a block serves whatever
fills half of it, so that memory does not grow with the number of shapes seen.
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
_HUGE = 1 << 21  # bytes of a huge page

_free: list[mmap.mmap] = []


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor of the type of `like` on the CPU whose numbers are not set."""
    count = math.prod(shape)
    need = count * like.element_size()
    if need < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_empty(shape)
    block = _take(need)
    owner = np.frombuffer(block, np.uint8)
    back = weakref.finalize(owner, _give_back, block)
    back.atexit = False
    return torch.from_numpy(owner)[:need].view(like.dtype).view(*shape)


def _take(need: int) -> mmap.mmap:
    fitting = [block for block in _free if need <= len(block) <= 2 * need + _HUGE]
    if fitting:
        found = min(fitting, key=len)
        _free.remove(found)
        return found
    block = mmap.mmap(-1, -(-need // _HUGE) * _HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    _free.append(block)
    if len(_free) > _MOST:
        del _free[0]  # the one that nobody wanted for the longest time
