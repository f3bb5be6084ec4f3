"""CUDA graphs of loops: a call that comes again is replayed, not launched step by step.

A graph repeats launches with the addresses that they had, and what belongs to a call stands
elsewhere in the next. So a graph's kernels read the addresses of the call's buffers from a table,
which a kernel fills before each replay. No value of a call belongs to a graph: what training saves
is the caller's, whatever runs before its way back. Only the memory between kernels and the matrices
must stand where they stood; calls with other matrices are other calls.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.triton.stepwise.course import Buffers, Course

ALIGNED = 16  # bytes: what kernels that read a table count on, see functions.memory

Work = Callable[[], None]
# turns work that launches into work that launches the same again, None if it cannot
Recorder = Callable[[Work, torch.device], Work | None]


@dataclass
class Entry:
    """What is remembered of a call.

    Attributes:
        uses: how often it came; replay: its graph, once it came again; table: of its addresses.
        held: tells when the matrices' memory goes.
    """

    course: Course
    uses: int = 0
    replay: Work | None = None
    table: Tensor | None = None
    held: list[weakref.ref[torch.UntypedStorage]] = field(default_factory=list)


class Graphs:
    """The calls of late, the latest last.

    Args:
        count, size: how many calls are remembered, and how many bytes may stand between kernels.
        record: makes a graph, None where there are none.
    """

    def __init__(self, count: int, size: int, record: Recorder | None):
        self.count, self.size, self.record = count, size, record
        self.entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def entry(self, key: Hashable, make: Callable[[], Course], banks: Sequence[Tensor]) -> Entry:
        """What is remembered of a call, or made for it."""
        found = self.entries.get(key)
        if found is None:
            found = self.entries[key] = Entry(make())
            # without its matrices a graph is of no use
            drop = _dropper(weakref.ref(self), key)
            found.held = [weakref.ref(bank.untyped_storage(), drop) for bank in banks]
            self._forget()
        self.entries.move_to_end(key)
        return found

    def _forget(self) -> None:
        """Forget what is oldest, as far as there is too much, but never the latest."""
        sizes = {key: entry.course.size for key, entry in list(self.entries.items())}
        *older, _ = sizes
        total = sum(sizes.values())
        while older and (len(older) >= self.count or total > self.size):
            key = older.pop(0)
            self.entries.pop(key, None)
            total -= sizes[key]

    def run(self, entry: Entry, buffers: Buffers, banks: Sequence[Tensor]) -> None:
        """Launch a call, from the second time on as a graph."""
        entry.uses += 1
        course = entry.course
        aligned = all(t is None or t.data_ptr() % ALIGNED == 0 for t in buffers.values())
        if entry.uses > 1 and aligned and entry.replay is None:
            self._record(entry, buffers, banks)
        if entry.replay is None or entry.table is None or not aligned:
            course.run(buffers, banks)
            return
        fill(course, entry.table, buffers)
        entry.replay()

    def _record(self, entry: Entry, buffers: Buffers, banks: Sequence[Tensor]) -> None:
        """Make a graph of a call, whose kernels read addresses from a table."""
        if self.record is None:
            return
        course = entry.course
        external = course.plan.external
        table = torch.zeros(len(external), dtype=torch.int64, device=course.device)
        addresses: Mapping[str, object] = {
            name: None if buffers[name] is None else table[k : k + 1]
            for k, name in enumerate(external)
        }
        fill(course, table, buffers)
        course.load(addresses)
        entry.table = table
        entry.replay = self.record(lambda: course.run(addresses, banks), course.device)
        if entry.replay is None:
            self.record = None


def fill(course: Course, table: Tensor, buffers: Buffers) -> None:
    """Write the addresses of a call's buffers into a table, in the order of the device's work."""
    kernel = course.functions[f"{course.plan.name}_addresses"]
    kernel[(1,)](table, *(buffers[name] for name in course.plan.external), num_warps=1)


def capturing(device: torch.device) -> bool:
    """Whether the caller is about to make a graph of what is launched."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def stream(device: torch.device) -> int:
    """The stream in whose order work is done: calls in two of them share no memory."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _dropper(graphs: weakref.ref[Graphs], key: Hashable) -> Callable[[object], None]:
    def drop(_: object) -> None:
        found = graphs()
        if found is not None:
            found.entries.pop(key, None)

    return drop


def record(work: Work, device: torch.device) -> Work | None:
    """Capture launches as a CUDA graph; None, with a warning, if that fails."""
    graph, side = torch.cuda.CUDAGraph(), _beside(device, stream(device))
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # the library takes memory of its own before the capture
        one = torch.ones(16, 16, device=device)
        torch.mm(one, one)
    try:
        # other threads may go on allocating memory meanwhile
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            work()
    except RuntimeError as error:
        warnings.warn(f"a loop over time could not be captured as a graph: {error}", stacklevel=2)
        return None
    torch.cuda.current_stream(device).wait_stream(side)
    return graph.replay


@lru_cache(maxsize=32)
def _beside(device: torch.device, stream: int) -> torch.cuda.Stream:
    """Where the graphs of a stream are captured: the library keeps memory for each such place."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
