"""What a layer asks of an engine, and what it gets back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils._pytree import register_constant

from gated.equations import Cell
from gated.equations.graph import length
from gated.equations.layout import Slot
from gated.equations.symbols import Node

PLAIN = (Tensor, torch.nn.parameter.Buffer, torch.nn.parameter.Parameter)

# Values of the cell's named symbols over time: gates and states by name.
Values = dict[str, Tensor]


@dataclass
class Form:
    """What of a layer's jobs is the same in every call.

    Attributes:
        cell: the cell.
        layout: how its parameters stand in the stored tensors of a layer and direction; biases
            may be absent, they count as 0.
        sizes: the lengths of the cell's letters; D is the first layer's.
    """

    cell: Cell
    layout: tuple[Slot, ...]
    sizes: Mapping[str, int]
    # what engines found out about it
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, cell: Cell, layout: tuple[Slot, ...], sizes: Mapping[str, int]) -> Form:
        """The one form of all layers alike, so that torch.compile compiles for all of them."""
        key = (type(cell), layout, tuple(sizes.items()))  # a cell's class is the cell
        found = _forms.get(key)
        if found is None:
            found = _forms[key] = cls(cell, layout, sizes)
        return found

    def __post_init__(self) -> None:
        self._hash = hash((type(self.cell), self.layout, tuple(self.sizes.items())))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Form.of, (self.cell, self.layout, dict(self.sizes))


_forms: WeakValueDictionary[Hashable, Form] = WeakValueDictionary()
# torch.compile passes it on as it is, and compiles anew for another
register_constant(Form)


class Job(NamedTuple):
    """A stack of layers of one cell over one batch of sequences, not empty.

    Axes: T time, B batch, L layers, S directions, D input size, n the size of a state, N the sum
    of the rows' lengths. Where the cell's maps are convolutions, the axes of the image stand
    before the last: (T, B, *extent, D).

    Attributes:
        form: the cell, and how its parameters are stored.
        num_layers, num_directions: L and S.
        weights: the stored tensors, layer by layer, in it direction by direction, in the order of
            the layout.
        inputs: the cell's inputs by name, the first is the sequence, which layers above take from
            the layer below. Each is (T, B, its size), or (N, its size) if `batch_sizes` is given:
            then the rows are sorted by length, and their steps packed as in a PackedSequence.
        own: further inputs that each layer and direction has for itself, in the order of the
            weights, laid out as `inputs`; empty if there are none.
        initial: the states before the first step, each (L * S, B, n).
        batch_sizes: the number of rows that reach each step, (T,) on the CPU; None if all reach T.
        padded: whether T and N are as if all rows reached T: `batch_sizes` ends in zeros, and
            behind the steps packed stand zeros. So no size depends on a length, see `traced`.
        dropout: probability of dropping an output of every layer but the last.
        training: whether the layer is in training mode.
        trace: whether every gate and state is wanted.
    """

    form: Form
    num_layers: int
    num_directions: int
    weights: Sequence[Tensor]
    inputs: Mapping[str, Tensor]
    initial: tuple[Tensor, ...]
    batch_sizes: Tensor | None = None
    dropout: float = 0.0
    training: bool = False
    trace: bool = False
    own: Sequence[Mapping[str, Tensor]] = ()
    padded: bool = False

    @property
    def cell(self) -> Cell:
        """The cell."""
        return self.form.cell

    @property
    def layout(self) -> tuple[Slot, ...]:
        """How its parameters are stored."""
        return self.form.layout

    @property
    def sizes(self) -> Mapping[str, int]:
        """The lengths of its letters."""
        return self.form.sizes

    @property
    def sequence(self) -> Tensor:
        """The first input."""
        return next(iter(self.inputs.values()))

    def stored(self, layer: int, direction: int) -> dict[str, Tensor]:
        """The stored tensors of one layer and direction by name."""
        names = [slot.name for slot in self.layout]
        return dict(zip(names, self.own_weights(layer, direction), strict=True))

    def own_weights(self, layer: int, direction: int) -> Sequence[Tensor]:
        """The stored tensors of one layer and direction, in the order of the layout."""
        count = len(self.form.layout)
        start = (layer * self.num_directions + direction) * count
        return self.weights[start : start + count]

    def units(self, node: Node) -> int:
        """The number of units of a named value."""
        return length(node.shape[0].value or 1, self.sizes) if node.shape else 1


def traced(value: Tensor) -> bool:
    """Whether a call with this tensor becomes a program, of which no size may depend on a value."""
    return torch.compiler.is_compiling() or type(value) not in PLAIN


def any_number(size: object) -> bool:
    """Whether a size stands for many: nothing may depend on it in a program for all of them."""
    return isinstance(size, torch.SymInt)


class Result(NamedTuple):
    """What an engine returns.

    Attributes:
        output: (T, B, S * n), n the size of the first state, or (N, S * n) as the job's inputs.
        final: the states after each row's last step, each (L * S, B, n).
        trace: for each layer and direction every gate and state by name, laid out as the inputs;
            empty if it was not asked for.
        reads: what each layer read, laid out as the inputs, where layers ran one by one.
    """

    output: Tensor
    final: tuple[Tensor, ...]
    trace: Sequence[Sequence[Values]] = ()
    reads: Sequence[Mapping[str, Tensor]] = ()


class Engine(Protocol):
    """An engine is a module with these two functions."""

    def supports(self, job: Job) -> str | None:
        """Why it cannot run the job, None if it can."""

    def run(self, job: Job) -> Result:
        """Run the job."""


def nothing(job: Job) -> Result:
    """The result of a job without a single step: no outputs, and the states as they were.

    It stands on the autograd graph of whatever went in, so that gradients are 0 and not absent.
    """
    x = job.sequence
    zero = sum((w.flatten()[:0].sum() for w in job.weights), x.flatten()[:0].sum())
    lead = x.shape[:-1]
    width = job.initial[0].shape[-1] * job.num_directions
    named = job.cell.graph.equations
    runs = [
        {name: x.new_zeros((*lead, job.units(node))) for name, node in named.items()}
        for _ in range(job.num_directions if job.trace else 0)
    ]
    return Result(
        x.new_zeros((*lead, width)) + zero,
        tuple(torch.clone(state) + zero for state in job.initial),
        [runs] * job.num_layers if job.trace else (),
    )
