"""One step of one layer without gradients: from its tensors straight to the kernel.

A step of a few hundred units takes microseconds, less than what a call of any size spends on the
way to its kernel.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from gated.engines.cpu.gather import stored_blocks
from gated.engines.cpu.operation import REALS, Compiled
from gated.engines.cpu.threads import threads
from gated.equations.graph import length
from gated.equations.layout import Slot

# multiplications below which one thread is quicker: one step after another, all threads wait awake
_SHARED = 1 << 17
_Place = tuple[int, int]  # the number of a stored tensor, and a distance in it in bytes
_Known = tuple[Tensor, int, tuple[int, ...]]  # a stored tensor, its memory and shape
_Frame = tuple[Any, int]  # a kernel's pointers, and where they stand


class Stepper:
    """Runs steps of a cell whose inputs and parameters can be read where they are stored."""

    def __init__(self, compiled: Compiled, layout: Sequence[Slot], sizes: Mapping[str, int]):
        """Find out where the kernel's buffers stand; ValueError if any must be computed first."""
        loop, kernel = compiled.loop, compiled.source.forward
        self.function = compiled.functions[kernel.name]
        self.itemsize = 8 if compiled.real == "double" else 4
        self.layout = tuple(layout)
        self.shapes = [slot.shape(sizes) for slot in self.layout]
        self.widths = [length(state.size, sizes) for state in loop.graph.states]
        self.dtype = next(t for t, name in REALS.items() if name == compiled.real)
        measures = compiled.measures(sizes)
        self.work, self.letters = measures.work, measures.letters
        self.first_step = ctypes.c_int64(0)
        self.letters_at, self.first_at = map(ctypes.addressof, (self.letters, self.first_step))
        self.batches: dict[int, tuple[ctypes.c_int64, int]] = {}
        places = self._places(compiled)
        names = [state.name for state in loop.graph.states]
        # of a call's tensors: its input, the states, the output, the new states
        called = [b.name for b in kernel.buffers if b.name.startswith("operand_")]
        self.called = [[kernel.names.index(name) for name in called]]
        self.called += [[kernel.names.index(f"initial_{name}")] for name in names]
        self.called += [[kernel.names.index(f"state_{names[0]}")]]
        self.called += [[kernel.names.index(f"final_{name}")] for name in names]
        self.places = [places.get(name) for name in kernel.names]
        self.arrays = ctypes.c_void_p * len(kernel.names)
        self.known: tuple[list[_Known], list[_Frame]] = ([], [])

    def _places(self, compiled: Compiled) -> dict[str, _Place | None]:
        loop = compiled.loop
        (x,) = loop.graph.inputs.values()
        places: dict[str, _Place | None] = {}
        for k, stream in enumerate(loop.streams):
            if stream.operand is not x:
                raise ValueError("an input is computed before the loop")
            (places[f"matrix_{k}"],) = self._stored(stream.bank.keys)
            places[f"added_{k}"] = places[f"also_{k}"] = None
            keys = [node.label for node in stream.added if node is not None]
            held = {key for slot in self.layout for key in slot.keys}
            if keys and held.issuperset(keys) and len(keys) == len(stream.nodes):
                both = self._stored(keys)
                places |= dict(zip((f"added_{k}", f"also_{k}"), both, strict=False))
                if len(both) > 2:
                    raise ValueError("three biases")
            elif held.intersection(keys):
                raise ValueError("some have a bias")
        for k, node in enumerate(loop.loose):
            if node.op != "parameter":
                raise ValueError("a value is computed before the loop")
            (places[f"given_{k}"],) = self._stored([node.label])
        for k, bank in enumerate(loop.banks):
            (places[f"bank_{k}"],) = self._stored(bank.keys)
        return places

    def _stored(self, keys: Sequence[str]) -> list[_Place]:
        """Where parameters stand one below the other; in several tensors if they are a sum."""
        found = stored_blocks(tuple(keys), self.layout)
        if not found:
            raise ValueError("parameters must be put together")
        places = []
        for number, first, _, blocks in found:
            block = math.prod(self.shapes[number]) // blocks
            places.append((number, block * first * self.itemsize))
        return places

    def fits(self, weights: Sequence[Tensor]) -> bool:
        """Whether stored tensors are what the kernel reads; they are remembered for the call."""
        known = self.known[0]
        if len(known) != len(weights):
            return self._remember(weights)
        for weight, (one, pointer, shape) in zip(weights, known, strict=True):
            if (
                weight is not one
                or weight.data_ptr() != pointer
                or weight.shape != shape
                or not weight.is_contiguous()
            ):
                return self._remember(weights)
        return True

    def _remember(self, weights: Sequence[Tensor]) -> bool:
        fit = all(
            w.shape == shape and w.dtype == self.dtype and w.is_cpu and w.is_contiguous()
            for w, shape in zip(weights, self.shapes, strict=True)
        )
        self.known = ([(w, w.data_ptr(), w.shape) for w in weights] if fit else [], [])
        return fit

    def _frame(self, known: Sequence[_Known]) -> _Frame:
        """What the kernel is passed, with the memory of the stored tensors."""
        pointers = [None if p is None else known[p[0]][1] + p[1] for p in self.places]
        arrays = self.arrays(*pointers)
        return arrays, ctypes.addressof(arrays)

    def __call__(self, x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """The output (B, n) and the new states, each (1, B, n), of contiguous tensors.

        `fits` has been asked about the stored tensors.
        """
        batch, widths = x.shape[0], self.widths
        output = x.new_empty((batch, widths[0]))
        final = [x.new_empty((1, batch, width)) for width in widths]
        known, frames = self.known  # another thread may be here, and have them replaced
        frame = frames.pop() if frames else self._frame(known)
        arrays, address = frame
        for tensor, places in zip((x, *states, output, *final), self.called, strict=True):
            for place in places:
                arrays[place] = tensor.data_ptr()
        size = self.batches.get(batch)
        if size is None:
            held = ctypes.c_int64(batch)
            size = self.batches[batch] = (held, ctypes.addressof(held))
        self.function(
            address, self.letters_at, 1, batch, size[1], self.first_at, 0,
            threads() if self.work * batch > _SHARED else 1,
        )  # fmt: skip
        frames.append(frame)
        return output, final
