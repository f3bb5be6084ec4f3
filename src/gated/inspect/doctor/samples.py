"""Layers and what goes into them, drawn at random, the same at every call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from gated.engines import ENGINES, Job
from gated.equations import Cell
from gated.equations.graph import length
from gated.layers import Recurrent


class Sample(NamedTuple):
    """What a call of a layer takes.

    Attributes:
        x: (T, B, D).
        others: the cell's further inputs by name, each (T, B, its size).
        states: the initial states, each (L * S, B, n).
        lengths: (B,) the steps of each row, None if all have T.
    """

    x: Tensor
    others: dict[str, Tensor]
    states: tuple[Tensor, ...]
    lengths: Sequence[int] | None

    def to(self, like: Tensor) -> Sample:
        """The same numbers on the device of another tensor and in its type."""
        others = {name: value.to(like) for name, value in self.others.items()}
        return Sample(self.x.to(like), others, tuple(s.to(like) for s in self.states), self.lengths)

    @property
    def hx(self) -> Tensor | tuple[Tensor, ...]:
        """The states as a layer takes them."""
        return self.states if len(self.states) > 1 else self.states[0]


def letters(cell: Cell, hidden_size: int) -> dict[str, int]:
    """The sizes that a cell names beside D and H: half of H each, as `gated cells` has them."""
    own = (letter for letter in cell.graph.letters if letter not in ("D", "H"))
    return dict.fromkeys(own, max(1, hidden_size // 2))


def sample(layer: Recurrent, steps: int, batch: int, lengths: Sequence[int] | None) -> Sample:
    """Inputs for a layer: x from -1/2 to 3/2, what else it reads from 0 to 1, states above 1/2."""
    graph, sizes = layer.cell.graph, {"D": layer.input_size, "H": layer.hidden_size, **layer.sizes}
    like = next(layer.parameters())

    def draw(*shape: int) -> Tensor:
        # in one type for all, so that another has the same numbers; none that float32 rounds
        return torch.rand(shape, dtype=torch.float32).to(like)

    x, *others = [draw(steps, batch, length(n, sizes)) for n in graph.input_sizes.values()]
    rows = layer.num_layers * layer.num_directions
    states = tuple(draw(rows, batch, length(state.size, sizes)) + 0.5 for state in graph.states)
    names = list(graph.input_sizes)[1:]
    return Sample(x * 2 - 0.5, dict(zip(names, others, strict=True)), states, lengths)


def asked(layer: Recurrent, given: Sample, *, trace: bool = False) -> Job:
    """What a call of the layer asks of its engine."""
    job, _, _ = layer._job(given.x, given.hx, given.lengths, None, trace, given.others)
    return job


def elsewhere(job: Job, device: str) -> Job:
    """The job as it would be on a device that need not be here: its tensors hold no numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # loads the compiler: seconds

    def moved(tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device=device, requires_grad=tensor.requires_grad)

    with FakeTensorMode(allow_non_fake_inputs=True):
        there: Job = tree_map_only(Tensor, moved, job)
    return there._replace(batch_sizes=job.batch_sizes)  # these are on the CPU


def strategies(engine: str, job: Job) -> dict[str, str | None]:
    """For each strategy of an engine why it cannot run a job, None if it can.

    They stand in the order in which the engine tries them; there are none if it has one way alone.
    """
    ask = getattr(ENGINES[engine], "strategies", None)
    return ask(job) if ask else {}


@contextmanager
def seeded() -> Iterator[None]:
    """Within the block random numbers begin anew; afterwards they are where they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
