"""`Signature`: what a call of a layer takes, checked and laid out for an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.engines import traced
from gated.equations.facts import extent
from gated.equations.graph import Graph, length
from gated.errors import OptionError
from gated.layers import arguments
from gated.layers.arrangement import PLAIN, Arrangement
from gated.layers.ragged import Episodes, Padded, Ragged

States = Tensor | tuple[Tensor, ...]


@dataclass
class Signature:
    """What a call takes.

    Attributes:
        cell: the cell's name, for messages.
        inputs: the inputs' units by name, the sequence first.
        states: the states' units by name.
        values: the initial value of each state.
        extent: the number of axes of an image or a signal.
        batch_first: whether B stands before T.
        layers, directions: L and S.
    """

    cell: str
    inputs: dict[str, int]
    states: dict[str, int]
    values: list[float]
    extent: int
    batch_first: bool
    layers: int
    directions: int

    def __post_init__(self) -> None:
        # looked up now, as torch.compile cannot trace the first access
        _ = self.first, self.width, self.others, self.names, self.start

    @classmethod
    def of(
        cls,
        graph: Graph,
        letters: Mapping[str, int],
        batch_first: bool,
        layers: int,
        directions: int,
    ) -> Signature:
        """The signature of a layer of a cell, given its sizes."""
        return cls(
            graph.cell,
            {name: length(size, letters) for name, size in graph.input_sizes.items()},
            {state.name: length(state.size, letters) for state in graph.states},
            [state.initial for state in graph.states],
            extent(graph),
            batch_first,
            layers,
            directions,
        )

    @cached_property
    def first(self) -> str:
        """The name of the sequence."""
        return next(iter(self.inputs))

    @cached_property
    def width(self) -> int:
        """The units of the sequence."""
        return self.inputs[self.first]

    @cached_property
    def others(self) -> list[str]:
        """The names of the further inputs."""
        return list(self.inputs)[1:]

    @cached_property
    def names(self) -> list[str]:
        """The names of the states."""
        return list(self.states)

    @cached_property
    def start(self) -> tuple[int, float] | None:
        """Units and initial value of all states, if they are alike: one tensor is all of them."""
        starts = {*zip(self.states.values(), self.values, strict=True)}
        return starts.pop() if len(starts) == 1 else None

    def enter(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        inputs: Mapping[str, Tensor],
        like: Tensor,
    ) -> tuple[dict[str, Tensor], Arrangement, int]:
        """The inputs as an engine takes them, how they are laid out, and the number of rows."""
        if isinstance(x, PackedSequence):
            if traced(x.data) and not torch.compiler.is_dynamo_compiling():
                raise OptionError(
                    f"{self.cell}: a PackedSequence cannot be exported, since its shape depends "
                    f"on the lengths: pass a padded tensor with lengths= instead"
                )
            given = {"lengths": lengths, "resets": resets, **inputs}
            values = arguments.check_packed(x, given, self.inputs, like, self.cell, self.extent)
            packed = Ragged.from_packed(x)
            return values, Arrangement(x, True, False, (), packed), packed.batch
        arguments.check_sequence(self.first, x, self.width, like, self.cell, self.extent)
        values = {self.first: x}
        if inputs or len(self.inputs) > 1:
            arguments.check_others(x, inputs, self.inputs, like, self.cell, self.extent)
            values |= inputs
        shape, lead = x.shape, x.dim() - self.extent
        batched, image = lead == 3, tuple(shape[lead:]) if self.extent else ()
        steps, batch = shape[0], shape[1] if batched else 1
        if batched and self.batch_first:
            steps, batch = batch, steps
        ragged = None
        if lengths is not None or resets is not None:
            ragged = self._rows(x, lengths, resets, batched, steps, batch)
        elif batched and not self.batch_first and not image:
            return values, PLAIN, batch
        arranged = Arrangement(None, batched, self.batch_first, image, ragged)
        return arranged.enter(values), arranged, batch

    def _rows(
        self,
        x: Tensor,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        batched: bool,
        steps: int,
        batch: int,
    ) -> Ragged | None:
        """How rows that end early or start anew are packed, None if there are none."""
        valid = torch.full((batch,), steps)
        if resets is not None and traced(x):
            self._refuse_resets()
        elif traced(x):
            return Padded(arguments.as_lengths(lengths, batch, steps, self.cell), steps, x.device)
        if lengths is not None:
            valid = arguments.as_lengths(lengths, batch, steps, self.cell)
        if resets is not None:
            anew = arguments.as_resets(resets, tuple(x.shape[: 1 + batched]), self.cell)
            anew = Arrangement(None, batched, self.batch_first, (), None).steps_first(anew)
            if bool(anew.any()):
                return Episodes(valid, anew, self.directions, self.values, x.device)
        if bool((valid == steps).all()):
            return None
        return Ragged.from_lengths(valid, steps, x.device)

    def _refuse_resets(self) -> None:
        """Stop where a call becomes one program; else let PyTorch run this part as it is."""
        why = (
            f"{self.cell}: resets= cut the rows into as many episodes as the values say, which is "
            f"known only when the program runs: compile or export what is around the layer"
        )
        if not torch.compiler.is_dynamo_compiling():
            raise OptionError(why)
        torch._dynamo.graph_break(msg=why)

    def initial(
        self, hx: States | None, batch: int, arranged: Arrangement, like: Tensor
    ) -> tuple[Tensor, ...]:
        """The initial states as an engine takes them, each (L*S, B, *extent, n)."""
        rows = self.layers * self.directions
        if hx is None and self.start is not None:
            size, value = self.start
            shape = (rows, batch, *arranged.extent, size)
            return (like.new_full(shape, value),) * len(self.states)
        if hx is None:
            lead = (rows, batch, *arranged.extent)
            sizes = zip(self.states.values(), self.values, strict=True)
            return tuple(like.new_full((*lead, size), value) for size, value in sizes)
        states = arguments.as_states(hx, self.names, self.cell)
        lead = (rows, batch) if arranged.batched else (rows,)
        for value, (name, size) in zip(states, self.states.items(), strict=True):
            shape = (*lead, size, *arranged.extent)
            arguments.check_state(name, value, shape, like, self.cell, self.extent)
        return arranged.enter_states(states)
