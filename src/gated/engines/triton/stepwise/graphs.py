"""CUDA graphs of loops: a call that comes again is replayed, not launched step by step.

A graph repeats launches with the addresses that they had, and what belongs to a call stands
elsewhere in the next. So a graph's kernels read the addresses of the call's buffers from a table,
and its products multiply copies of the matrices: both are made anew before each replay. No value
of a call belongs to a graph: what training saves is the caller's, whatever runs before its way
back.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.triton.stepwise.course import Course

Work = Callable[[], None]
# turns work that launches into work that launches the same again; RuntimeError if it cannot
Recorder = Callable[[Work, torch.device], Work]


@dataclass
class Entry:
    """What is remembered of a call.

    Attributes:
        called: whether it came before; replay: its graph, once it came again.
        banks: the matrices that the graph reads.
    """

    course: Course
    called: bool = False
    replay: Work | None = None
    banks: list[Tensor] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return self.course.size + sum(bank.nbytes for bank in self.banks)


class Graphs:
    """The calls of late, the latest last.

    Args:
        count, size: how many calls are remembered, and how many bytes they may hold.
        record: makes a graph, None where there are none.
    """

    def __init__(self, count: int, size: int, record: Recorder | None):
        self.count, self.size, self.record = count, size, record
        self.entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self.lock = threading.Lock()

    def entry(self, key: Hashable, make: Callable[[], Course]) -> Entry:
        """What is remembered of a call, or made for it."""
        with self.lock:
            found = self.entries.get(key)
            if found is None:
                found = self.entries[key] = Entry(make())
                self._forget()
            self.entries.move_to_end(key)
            return found

    def _forget(self) -> None:
        """Forget what is oldest, as far as there is too much, but never the latest."""
        total = sum(entry.size for entry in self.entries.values())
        while len(self.entries) > 1 and (len(self.entries) > self.count or total > self.size):
            _, oldest = self.entries.popitem(last=False)
            total -= oldest.size

    def run(self, entry: Entry, banks: Sequence[Tensor]) -> None:
        """Launch a call, from the second time on as a graph."""
        if entry.called and entry.replay is None and entry.course.steps:
            self._record(entry, banks)
        entry.called = True
        if entry.replay is None or self.record is None:
            entry.course.run(banks)
            return
        for held, bank in zip(entry.banks, banks, strict=True):
            held.copy_(bank)
        entry.replay()

    def _record(self, entry: Entry, banks: Sequence[Tensor]) -> None:
        """Make a graph of a call; where that fails, there are none."""
        if self.record is None:
            return
        with torch.inference_mode(False):  # a later call may write it outside of this mode
            held = [torch.empty_like(bank) for bank in banks]
        try:
            entry.replay = self.record(lambda: entry.course.run(held), entry.course.device)
        except RuntimeError as error:
            self.record = None
            warnings.warn(f"a loop over time could not be captured: {error}", stacklevel=2)
            return
        with self.lock:
            entry.banks = held
            self._forget()


def capturing(device: torch.device) -> bool:
    """Whether the caller is about to make a graph of what is launched."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def stream(device: torch.device) -> int:
    """The stream in whose order work is done: calls in two of them share no memory."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


_ONE = threading.Lock()  # held by the only thread that captures


def record(work: Work, device: torch.device) -> Work:
    """Capture launches as a CUDA graph."""
    graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream(device)
    side = _beside(device, here.cuda_stream)
    side.wait_stream(here)
    # torch.cuda.graph would wait for the device, and give back the memory that PyTorch holds
    with _ONE, torch.cuda.stream(side):
        one = torch.ones(16, 16, device=device)
        torch.mm(one, one)  # the library takes memory of its own before the capture
        # other threads may go on allocating memory meanwhile
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            work()
        finally:
            graph.capture_end()
    here.wait_stream(side)
    return graph.replay


@lru_cache(maxsize=32)
def _beside(device: torch.device, stream: int) -> torch.cuda.Stream:
    """Where the graphs of a stream are captured.

    The library keeps memory for each such place, in which products run: so there are no more of
    them than streams, and graphs that may run at once have none in common.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
