"""One step of one layer without gradients: from its tensors straight to the kernel.

A step of a few hundred units takes microseconds, less than what a call of any size spends on the
way to its kernel.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from gated.engines.cpu.gather import stored_blocks
from gated.engines.cpu.operation import SMALL, Compiled
from gated.engines.cpu.threads import threads
from gated.equations.graph import length
from gated.equations.layout import Slot

_Place = tuple[int, int]  # the number of a stored tensor, and a distance in it in bytes


class Stepper:
    """Runs steps of a cell whose inputs and parameters can be read where they are stored."""

    def __init__(self, compiled: Compiled, layout: Sequence[Slot], sizes: Mapping[str, int]):
        """Find out where the kernel's buffers stand; ValueError if any must be computed first."""
        loop, kernel = compiled.loop, compiled.source.forward
        self.function = getattr(compiled.library, kernel.name)
        self.itemsize = 8 if compiled.real == "double" else 4
        self.layout = tuple(layout)
        self.shapes = [slot.shape(sizes) for slot in self.layout]
        self.widths = [length(state.size, sizes) for state in loop.graph.states]
        letters = [sizes[letter] for letter in compiled.source.letters]
        self.letters = (ctypes.c_int64 * (len(letters) or 1))(*letters)
        self.work = compiled.work(sizes)
        self.first_step = ctypes.c_int64(0)
        self.batches: dict[int, ctypes.c_int64] = {}
        places = self._places(compiled)
        # for each buffer: where it stands in a stored tensor, or which of a call's tensors it is
        names = [state.name for state in loop.graph.states]
        called = {f"operand_{k}": 0 for k in range(len(loop.streams))}
        called |= {f"initial_{name}": 1 + k for k, name in enumerate(names)}
        called |= {f"state_{names[0]}": 1 + len(names)}
        called |= {f"final_{name}": 2 + len(names) + k for k, name in enumerate(names)}
        self.plan = [(called.get(b.name, -1), places.get(b.name)) for b in kernel.buffers]
        self.pointers = ctypes.c_void_p * len(kernel.buffers)

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
        names = [slot.name for slot in self.layout]
        found = stored_blocks(tuple(keys), self.layout)
        if not found:
            raise ValueError("parameters must be put together")
        places = []
        for name, first, _, blocks in found:
            number = names.index(name)
            block = math.prod(self.shapes[number]) // blocks
            places.append((number, block * first * self.itemsize))
        return places

    def __call__(
        self, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The output (B, n) and the new states, each (1, B, n), of contiguous tensors."""
        batch = x.shape[0]
        output = x.new_empty((batch, self.widths[0]))
        if len(set(self.widths)) == 1:
            final: Sequence[Tensor] = x.new_empty((len(states), 1, batch, self.widths[0])).unbind()
        else:
            final = [x.new_empty((1, batch, width)) for width in self.widths]
        called = [x, *states, output, *final]
        stored = [weight.data_ptr() for weight in weights]
        memory = [tensor.data_ptr() for tensor in called]
        arrays = self.pointers(
            *[
                memory[number]
                if number >= 0
                else (None if place is None else stored[place[0]] + place[1])
                for number, place in self.plan
            ]
        )
        size = self.batches.get(batch)
        if size is None:
            size = self.batches[batch] = ctypes.c_int64(batch)
        count = threads() if self.work * batch > SMALL else 1
        self.function(
            arrays, self.letters, 1, batch, ctypes.byref(size), ctypes.byref(self.first_step), 0,
            count,
        )  # fmt: skip
        return output, final
