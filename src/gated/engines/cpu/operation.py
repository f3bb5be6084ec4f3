"""The loop over time of one layer and direction, forward and backward, as functions of tensors."""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

import torch
from torch import Tensor

from gated.engines.cpu import pool
from gated.engines.cpu.build import library
from gated.engines.cpu.frame import Kernel
from gated.engines.cpu.generate import Source, generate
from gated.engines.cpu.threads import threads
from gated.engines.fused.gather import dense
from gated.engines.fused.gradients import of_matrices, of_streams
from gated.engines.fused.loops import MAKERS, Inputs, Loops, Sizes, Tensors
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Place
from gated.equations.graph import Graph, length
from gated.equations.schedule import width_of
from gated.equations.symbols import Node
from gated.errors import EngineError

SMALL = 1 << 20  # multiplications below which one thread is quicker

REALS = {torch.float32: "float", torch.float64: "double"}


class Measures(NamedTuple):
    """What follows from the lengths of a cell's letters.

    `letters` is what a kernel is passed, `work` about how many multiplications a row's step takes,
    `widths` the numbers in a row of each buffer.
    """

    letters: ctypes.Array[ctypes.c_int64]
    work: int
    widths: Mapping[str, int]


class Compiled(Loops):
    """A cell's loops in C++ for one type of numbers.

    Attributes:
        source: the C++, and what its functions are passed.
    """

    engine = "cpu"

    def __init__(self, graph: Graph, real: str, traced: bool = False):
        super().__init__(graph, traced, instead=True)
        self.real = real
        self.source: Source = generate(self.kept, real)
        self.library = library(self.source.text)
        self._measures: dict[tuple[int, ...], Measures] = {}
        self.kernels = (self.source.forward, self.source.training, self.source.backward)
        self.functions = {k.name: getattr(self.library, k.name) for k in self.kernels}
        for function in self.functions.values():
            function.restype = None
            function.argtypes = [
                ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
            ]  # fmt: skip
        self.library.transposed_times.restype = None
        self.library.transposed_times.argtypes = [
            ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_long,
            ctypes.c_void_p, ctypes.c_int,
        ]  # fmt: skip
        self.library.outer_sum.restype = None
        self.library.outer_sum.argtypes = [
            ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p, ctypes.c_long, ctypes.c_long,
            ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
            ctypes.c_int,
        ]  # fmt: skip

    def call(
        self, kernel: Kernel, pointers: Mapping[str, int | None], sizes: Sizes, rows: Rows
    ) -> None:
        """Run one of the loops on the memory of its buffers, by name."""
        measures = self.measures(sizes)
        arrays = (ctypes.c_void_p * len(kernel.names))(*[pointers[n] for n in kernel.names])
        several = measures.work * rows.total > SMALL
        self.functions[kernel.name](
            arrays, measures.letters, rows.steps, rows.batch, *rows.memory, rows.reverse,
            threads() if several else 1,
        )  # fmt: skip

    def transposed_times(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """The matrix (H, D), transposed, times rows (N, H)."""
        count, height = rows.shape
        depth = matrix.shape[1]
        out = pool.empty((count, depth), rows)
        self.library.transposed_times(
            matrix.data_ptr(), height, depth, rows.data_ptr(), count, out.data_ptr(),
            threads() if count * depth * height > SMALL else 1,
        )  # fmt: skip
        return out

    def outer_sum(
        self, d: Tensor, rows: Tensor, out: Tensor, *, add: bool, sums: Tensor | None = None
    ) -> None:
        """The sum of outer products of d (N, H) and rows (N, D) into `out`, or added to it.

        `sums` (H,) gets the sum of d.
        """
        (count, height), depth = d.shape, rows.shape[1]
        self.library.outer_sum(
            d.data_ptr(), d.stride(0), rows.data_ptr(), rows.stride(0), count, height, depth,
            out.data_ptr(), add, 0 if sums is None else sums.data_ptr(),
            threads() if count * depth * height > SMALL else 1,
        )  # fmt: skip

    def measures(self, sizes: Sizes) -> Measures:
        """What follows from the lengths of the letters."""
        key = tuple(sizes.values())
        found = self._measures.get(key)
        if found is None:
            found = self._measures[key] = self._measured(sizes)
        return found

    def _measured(self, sizes: Sizes) -> Measures:
        letters = [sizes[letter] for letter in self.source.letters]
        buffers = {b.name: b for k in self.kernels for b in k.buffers}
        buffers |= {b.name: b for b in (*self.kept.streams, *self.kept.buffers)}
        widths = {n: sum(length(w, sizes) for w in b.widths) for n, b in buffers.items()}
        products = [
            math.prod(length(dim.value or "H", sizes) for dim in matrix.shape)
            for matrix in self.loop.matrices.values()
        ]
        streams = [
            widths[buffer.name] * length(width_of(stream.operand), sizes)
            for stream, buffer in zip(self.loop.streams, self.kept.streams, strict=True)
        ]
        pointwise = 64 * length(self.loop.graph.states[0].size, sizes)
        return Measures(
            (ctypes.c_int64 * (len(letters) or 1))(*letters),
            sum(products) + sum(streams) + pointwise,
            widths,
        )

    @property
    def products(self) -> Mapping[Node, Place]:
        """Where the way back leaves the gradient of each product with a matrix."""
        return self.source.products

    def infer(self, sizes: Sizes, rows: Rows, tensors: Tensors) -> list[Tensor]:
        """The first state at every step, and all states after each row's last."""
        states = self.loop.graph.states
        initial = tensors[-len(states) :]
        first = cast(Tensor, initial[0])
        width = self.measures(sizes).widths[f"state_{states[0].name}"]
        output = pool.empty((rows.total, width), first)
        pointers = _pointers(self, tensors)
        pointers[f"state_{states[0].name}"] = output.data_ptr()
        finals = [torch.empty_like(cast(Tensor, state)) for state in initial]
        for state, final in zip(states, finals, strict=True):
            pointers[f"final_{state.name}"] = final.data_ptr()
        self.call(self.source.forward, pointers, sizes, rows)
        return [output, *finals]

    def train(
        self, sizes: Sizes, rows: Rows, tensors: Tensors
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As `infer`, and the buffers that the way back needs, by name."""
        states, widths = self.loop.graph.states, self.measures(sizes).widths
        initial = [cast(Tensor, state) for state in tensors[-len(states) :]]
        pointers, saved = _pointers(self, tensors), {}
        for buffer in (*self.kept.streams, *self.kept.buffers):
            saved[buffer.name] = pool.empty((rows.total, widths[buffer.name]), initial[0])
            pointers[buffer.name] = saved[buffer.name].data_ptr()
        finals = [torch.empty_like(state) for state in initial]
        for state, final in zip(states, finals, strict=True):
            pointers[f"final_{state.name}"] = final.data_ptr()
        self.call(self.source.training, pointers, sizes, rows)
        return [saved[self.kept.buffers[0].name], *finals], saved

    def differentiate(
        self, sizes: Sizes, rows: Rows, tensors: Tensors, saved: Mapping[str, Tensor],
        arriving: Mapping[str, Tensor | None], final: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients of what `train` took. It writes over what was saved."""
        given = Inputs.of(self.loop, tensors)
        like, kernel = given.initial[0], self.source.backward
        widths, pointers = self.measures(sizes).widths, _pointers(self, tensors)
        for name, value in saved.items():
            pointers[name] = value.data_ptr()
        carries = []
        for state, first, gradient in zip(
            self.loop.graph.states, given.initial, final, strict=True
        ):
            carry = torch.zeros_like(first) if gradient is None else gradient.clone(
                memory_format=torch.contiguous_format)  # fmt: skip
            pointers[f"carry_{state.name}"] = carry.data_ptr()
            carries.append(carry)
        held = {name: dense(d) for name, d in arriving.items() if d is not None}
        for name, value in held.items():
            pointers[f"d_{name}"] = value.data_ptr()
        made = dict(saved)
        for buffer in kernel.buffers:
            if buffer.name in pointers or buffer.kind == "maybe" or buffer.name in self.given:
                continue
            width = widths[buffer.name]
            shape = (width,) if buffer.kind == "vector" else (rows.total, width)
            made[buffer.name] = pool.empty(shape, like)
            pointers[buffer.name] = made[buffer.name].data_ptr()
        self.call(kernel, pointers, sizes, rows)
        found = of_streams(self, given, made, wanted)
        found += [made.get(f"grad_given_{k}") for k in range(len(given.loose))]
        found += of_matrices(self, sizes, rows, given, made, wanted[len(found) :])
        return [*found, *carries]


@lru_cache(maxsize=256)
def compiled(graph: Graph, real: str, traced: bool = False) -> Compiled:
    """The loops of a cell, compiled once."""
    return Compiled(graph, real, traced)


def _pointers(compiled: Compiled, tensors: Tensors) -> defaultdict[str, int | None]:
    """The memory of a call's tensors by the buffers' names, nothing for other buffers."""
    found: defaultdict[str, int | None] = defaultdict(_nothing)
    for name, tensor in zip(compiled.given, tensors, strict=True):
        if tensor is not None:
            found[name] = tensor.data_ptr()
    return found


def _nothing() -> None:
    return None


def _make(graph: Graph, dtype: torch.dtype, traced: bool) -> Compiled:
    real = REALS.get(dtype)
    if real is None:
        raise EngineError(f"the CPU engine computes in float32 and float64, not in {dtype}")
    return compiled(graph, real, traced)


MAKERS["cpu"] = _make
