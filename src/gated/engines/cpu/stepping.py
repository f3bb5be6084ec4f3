"""One step of one layer without gradients: from its tensors straight to the kernel.

A step of a few hundred units takes microseconds, less than what a call of any size spends on the
way to its kernel.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from gated.engines.cpu.operation import REALS, Compiled
from gated.engines.cpu.threads import threads
from gated.engines.fused.gather import Part, stored_blocks, stored_sums
from gated.engines.job import PLAIN
from gated.equations.graph import length
from gated.equations.layout import Slot

# multiplications below which one thread is quicker: one step after another, all threads wait awake
_SHARED = 1 << 17
_Known = tuple[weakref.ref[Tensor], int, tuple[int, ...]]  # a stored tensor, its memory and shape
# a kernel's pointers, where they stand, and what is copied for them
_Frame = tuple[Any, int, list[tuple[Any, int, int, int]]]

_Held = tuple[list[_Known], list[_Frame]]


class _Place(NamedTuple):
    """A stored tensor, and a distance in it in bytes.

    `copied`: it is a part of a vector of zeros, with so many bytes before, in and after it.
    """

    slot: int
    start: int
    copied: tuple[int, int, int] | None


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
        self.held: _Held = ([], [])

    def _places(self, compiled: Compiled) -> dict[str, _Place | None]:
        loop = compiled.loop
        (x,) = loop.graph.inputs.values()
        places: dict[str, _Place | None] = {}
        for k, stream in enumerate(loop.streams):
            if stream.operand is not x:
                raise ValueError("an input is computed before the loop")
            (places[f"matrix_{k}"],) = self._stored(stream.bank.keys)
            places |= {f"{name}_{k}": None for name in ("added", "also")}
            if all(node is None for node in stream.added):
                continue
            if any(node is None or node.op != "parameter" for node in stream.added):
                raise ValueError("what is added is computed before the loop")
            keys = tuple(node.label for node in stream.added if node is not None)
            sums = stored_sums(keys, self.layout)
            if sums is None or len(sums) > 2:
                raise ValueError("biases must be put together")
            places |= zip((f"added_{k}", f"also_{k}"), map(self._place, sums), strict=False)
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
        return [self._place(part) for part in found]

    def _place(self, part: Part) -> _Place:
        block = math.prod(self.shapes[part.slot]) // part.blocks * self.itemsize
        copied = None
        if part.at or part.beyond:
            copied = (block * part.at, block * part.several, block * part.beyond)
        return _Place(part.slot, block * part.first, copied)

    def fits(self, weights: Sequence[Tensor]) -> _Held | None:
        """What is held of stored tensors, for the call, if they are what the kernel reads."""
        held = self.held
        for weight, (one, pointer, shape) in zip(weights, held[0], strict=False):
            if (
                one() is not weight
                or weight.data_ptr() != pointer
                or weight.shape != shape
                or weight.dtype != self.dtype
                or not weight.is_contiguous()
            ):
                return self._remember(weights)
        return held if len(held[0]) == len(weights) else self._remember(weights)

    def _remember(self, weights: Sequence[Tensor]) -> _Held | None:
        for weight, shape in zip(weights, self.shapes, strict=True):
            if (
                type(weight) not in PLAIN
                or weight.shape != shape
                or weight.dtype != self.dtype
                or not weight.is_cpu
                or not weight.is_contiguous()
                or weight.is_neg()
                or not weight.data_ptr()
            ):
                return None
        # not kept alive: the caller has them
        self.held = ([(weakref.ref(w), w.data_ptr(), w.shape) for w in weights], [])
        return self.held

    def _frame(self, known: Sequence[_Known]) -> _Frame:
        """What the kernel is passed, with the memory of the stored tensors."""
        pointers: list[int | None] = []
        copies = []
        for place in self.places:
            if place is None:
                pointers.append(None)
                continue
            source = pointer = known[place.slot][1] + place.start
            if place.copied is not None:
                before, count, after = place.copied
                room = ctypes.create_string_buffer(before + count + after)  # zeros
                pointer = ctypes.addressof(room)
                copies.append((room, pointer + before, source, count))
            pointers.append(pointer)
        arrays = self.arrays(*pointers)
        return arrays, ctypes.addressof(arrays), copies

    def __call__(
        self, x: Tensor, states: Sequence[Tensor], held: _Held
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The output (B, n) and the new states, each (1, B, n), of contiguous tensors.

        `held` is what `fits` gave for the stored tensors.
        """
        batch, widths = x.shape[0], self.widths
        output = x.new_empty((batch, widths[0]))
        final = [x.new_empty((1, batch, width)) for width in widths]
        known, frames = held
        try:
            frame = frames.pop()  # no other thread's
        except IndexError:
            frame = self._frame(known)
        arrays, address, copies = frame
        for _, to, source, count in copies:
            ctypes.memmove(to, source, count)
        for tensor, places in zip((x, *states, output, *final), self.called, strict=True):
            for place in places:
                arrays[place] = tensor.data_ptr()
        size = self.batches.get(batch)
        if size is None:
            number = ctypes.c_int64(batch)
            size = self.batches[batch] = (number, ctypes.addressof(number))
        self.function(
            address, self.letters_at, 1, batch, size[1], self.first_at, 0,
            threads() if self.work * batch > _SHARED else 1,
        )  # fmt: skip
        frames.append(frame)
        return output, final
