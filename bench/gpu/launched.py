"""What a strategy launches for a cell, compiled: each case in a process of its own."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from bench.cpu.problem import own_sizes
from bench.gpu.target import SHARED, Compiled, compiling
from gated.cells import cell
from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Kept
from gated.engines.triton.resident import Resident
from gated.engines.triton.stepwise import Stepwise
from gated.equations.cell import Cell
from gated.equations.graph import length
from gated.equations.loop import backward, forward
from gated.equations.maps import Heads, mapped
from gated.equations.schedule import width_of
from gated.errors import CellError

STRATEGIES = ("resident", "stepwise")
MAPS = ("dense", "heads", "diagonal")
UNTAKEN = "not taken"  # the part of a case that a strategy cannot run at any size
HEAD = 32  # units
WORKERS = multiprocessing.get_context("forkserver")
WORKERS.set_forkserver_preload(["bench.gpu.launched"])


@dataclass(frozen=True)
class Case:
    """What is compiled: a cell's loops by a strategy, at a size and in a type of numbers."""

    cell: str
    strategy: str
    maps: str
    size: int
    dtype: str
    batch: int
    ragged: bool

    def mapped(self) -> Cell:
        """The cell; CellError if its matrices cannot be so."""
        maps = Heads(max(1, self.size // HEAD)) if self.maps == "heads" else self.maps
        return cell(self.cell) if maps == "dense" else mapped(cell(self.cell), maps)

    def rows(self) -> Rows:
        """Of eight steps; if ragged, the last is for half of them."""
        reach = torch.tensor([self.batch] * 7 + [self.batch // 2])
        return Rows(8, self.batch, reach if self.ragged else None, reverse=False)


@dataclass(frozen=True)
class Row:
    """One kernel of a case, and what is wrong with it.

    Attributes:
        part: in which of the loops it came up first, or UNTAKEN.
    """

    case: Case
    part: str
    kernel: Compiled | None
    fault: str = ""


class Call:
    """A strategy's loops for a case, and its buffers: on no device, so they take no memory.

    Raises:
        CellError: the cell has no such matrices.
    """

    def __init__(self, case: Case):
        self.case, self.rows = case, case.rows()
        self.sizes = {"D": case.size, "H": case.size, **own_sizes(case.cell, case.size)}
        self.loop = forward(case.mapped().graph)
        self.states = self.loop.graph.states
        self.kept = Kept(self.loop, backward(self.loop), instead=False)
        self.leaving = Leaving(self.kept)
        self.strategy: Resident | Stepwise
        if case.strategy == "resident":
            dtype = getattr(torch, case.dtype)
            self.strategy = Resident(self.kept, self.leaving, "float32", dtype)
        else:
            self.strategy = Stepwise(self.kept, self.leaving, "float32")

    def launches(self) -> Iterator[str]:
        """Launch the loops, one after the other, and say of each what it was."""
        given, kept, first = self.given(), self.saved(), f"state_{self.states[0].name}"
        ends = {s.name: self.empty(Buffer("", "rows", (s.size,)), real=True) for s in self.states}
        final = {f"final_{name}": end for name, end in ends.items()}
        for part, buffers in (("inference", {first: kept[first]}), ("training", kept)):
            self.strategy.forward(
                {**given, **final, **buffers}, self.sizes, self.rows, training=part == "training"
            )
            yield part
        carries = {f"carry_{name}": end for name, end in ends.items()}
        left = [*self.leaving.buffers, *(buffer for _, buffer in self.leaving.totals)]
        gradients = {buffer.name: self.empty(buffer) for buffer in left}
        gradients[f"d_{self.states[0].name}"] = kept[first]
        every = {**given, **kept, **carries, **gradients}
        self.strategy.backward(every, self.sizes, self.rows)
        yield "backward"

    def empty(self, buffer: Buffer, *, real: bool = False) -> Tensor:
        """The memory of a buffer, in the type of the case or that computed in."""
        width = sum(length(width, self.sizes) for width in buffer.widths)
        lead = {"timed": [self.rows.total], "rows": [self.rows.batch], "vector": []}[buffer.kind]
        return self.tensor(*lead, width, real=real)

    def tensor(self, *shape: int, real: bool = False) -> Tensor:
        """Numbers that are not there."""
        dtype = torch.float32 if real else getattr(torch, self.case.dtype)
        return torch.empty(shape, dtype=dtype, device="meta")

    def saved(self) -> dict[str, Tensor]:
        """What the loop forward leaves: states but the first stand in the type computed in."""
        first, *others = (self.kept.states[state.name].buffer for state in self.states)
        return {b.name: self.empty(b, real=b in others) for b in [first, *self.kept.buffers]}

    def given(self) -> dict[str, Tensor]:
        """What the loop forward reads."""
        loop = self.loop
        found = {buffer.name: self.empty(buffer) for buffer in self.kept.streams}
        for k, node in enumerate(loop.loose):
            kind = "timed" if loop.given[node] else "vector"
            found[f"given_{k}"] = self.empty(Buffer("", kind, (width_of(node),)))
        for k, bank in enumerate(loop.banks):
            axes = loop.matrices[bank.keys[0]].shape
            first, *rest = (length(axis.value or "H", self.sizes) for axis in axes)
            found[f"bank_{k}"] = self.tensor(len(bank.keys) * first, *rest)
        for state in self.states:
            found[f"initial_{state.name}"] = self.empty(Buffer("", "rows", (state.size,)))
        return found


def fitting(case: Case) -> Call | str:
    """The case at the largest size, halved as often as need be, that the strategy takes, or why
    it takes none."""
    against = f"{case.size} units are fewer than 16"
    while case.size >= 16:
        try:
            call = Call(case)
        except CellError as error:
            return str(error)
        found = call.strategy.obstacle(call.sizes)
        if found is None:
            return call
        against, case = found, replace(case, size=case.size // 2)
    return against


def compiled(case: Case) -> list[Row]:
    """The kernels of a case, compiled in a process: a fault of the compiler's may end it."""
    ours, theirs = WORKERS.Pipe(duplex=False)
    worker = WORKERS.Process(target=_compile, args=(case, theirs))
    worker.start()
    theirs.close()
    rows: list[Row] = []
    with ours:
        try:
            while True:
                rows.append(ours.recv())
        except EOFError:
            worker.join()
    if worker.exitcode:
        last = rows[-1] if rows else Row(case, "start", None)
        fault = f"the compiler ended its process with {worker.exitcode}"
        rows.append(Row(last.case, last.part, None, fault))
    return rows


def _compile(case: Case, to: Connection) -> None:
    call = fitting(case)
    if isinstance(call, str):
        to.send(Row(case, UNTAKEN, None, call))
        return
    sent, part = 0, "start"
    with compiling() as found:
        try:
            for part in call.launches():
                for kernel in [*found.values()][sent:]:
                    fault = "more shared memory than there is" if kernel.shared > SHARED else ""
                    to.send(Row(call.case, part, kernel, fault))
                sent = len(found)
        except Exception:
            to.send(Row(call.case, part, None, traceback.format_exc()))
