"""Index tensors on a GPU, kept for calls that have the same.

Rows of some lengths come again, in each layer and direction and on the way back. Copying their
indices from the CPU makes it wait for the GPU, and cannot be captured in a CUDA graph.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import torch
from torch import Tensor

from gated.engines.job import traced

Key = tuple[torch.device, torch.dtype, torch.Size, bytes]


class Indices:
    """Tensors of late on a device, by their numbers.

    Args:
        count, size: how many are kept, and how many bytes of them.

    Attributes:
        late: the tensors, the latest last; captured: those that a graph reads: they stay.
    """

    def __init__(self, count: int, size: int):
        self.count, self.size = count, size
        self.late: OrderedDict[Key, Tensor] = OrderedDict()
        self.captured: dict[Key, Tensor] = {}
        self.lock = threading.Lock()

    def on(self, device: torch.device, index: Tensor, *, capturing: bool) -> Tensor:
        """A tensor of the CPU on a device."""
        key = (device, index.dtype, index.shape, index.numpy().tobytes())
        with self.lock:
            found = self.captured.get(key)
            if found is None:
                found = self.late.pop(key, None)
            if found is None:
                with torch.inference_mode(False):  # a later call may need a gradient
                    found = index.to(device, copy=True)
            (self.captured if capturing else self.late)[key] = found
            self._forget()
        return found

    def _forget(self) -> None:
        """Forget what is oldest, as far as there is too much."""
        total = sum(value.nbytes for value in self.late.values())
        while len(self.late) > self.count or total > self.size:
            _, oldest = self.late.popitem(last=False)
            total -= oldest.nbytes


_INDICES = Indices(256, 1 << 26)


def on_device(index: Tensor, device: torch.device) -> Tensor:
    """An index tensor on a device: where it was copied to before, if it is of late."""
    watched = traced(index) or torch._C._len_torch_dispatch_stack() > 0
    if device.type != "cuda" or not index.is_cpu or watched:
        return index.to(device)
    capturing = torch.cuda.is_current_stream_capturing()
    found = _INDICES.on(device, index, capturing=capturing)
    if not capturing:
        # its memory is not given to others before this stream has read it
        found.record_stream(torch.cuda.current_stream(device))
    return found
