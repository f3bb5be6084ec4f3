"""Layers of a model that run another cell for a while, with the very same parameters.

Nothing in the model is replaced: what a layer asks of its engine is changed on the way there, and
changed back at the end, whatever happened. So it does not matter where in a model a layer stands,
how often it is used, or who else holds it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gated.engines import Form, Job
from gated.equations import Cell
from gated.equations.close import did_you_mean
from gated.equations.graph import Size, length
from gated.errors import OptionError
from gated.layers import Recurrent
from gated.layers.arrangement import Arrangement

__all__ = [
    "Change", "as_layer", "changed", "eager", "find_layer", "layers_of", "overridden",
    "rows_first", "units", "with_cell",
]  # fmt: skip

# what is to become of a job, given how its tensors are laid out
Change = Callable[[Job, Arrangement], Job]


def layers_of(model: nn.Module) -> dict[str, Recurrent]:
    """The recurrent layers of a model by their paths; "layer" if it is one itself.

    Raises:
        OptionError: there is none.

    Example:
        >>> import gated, torch
        >>> model = torch.nn.Sequential(gated.LSTM(2, 3))
        >>> list(layers_of(model)), list(layers_of(model[0]))
        (['0'], ['layer'])
    """
    if not isinstance(model, nn.Module):
        raise OptionError(f"model is {type(model).__name__}, expected a torch.nn.Module")
    found = {
        # torch.compile wraps a module in one with the module inside
        ".".join(part for part in name.split(".") if part != "_orig_mod") or "layer": module
        for name, module in model.named_modules()
        if isinstance(module, Recurrent)
    }
    if not found:
        raise OptionError(
            f"{type(model).__name__} has no layer of gated to look into: {_remedy(model)}"
        )
    return found


def _remedy(model: nn.Module) -> str:
    hidden = [
        f"{name or 'it'} is a torch.nn.{type(module).__name__}"
        for name, module in model.named_modules()
        if isinstance(module, (nn.RNNBase, nn.RNNCellBase))
    ]
    if not hidden:
        return "build it with gated.LSTM, gated.Recurrent or another layer of gated"
    return (
        f"{', '.join(hidden[:3])}, which hides its gates: put gated.LSTM, GRU or RNN in its place, "
        f"with the same arguments, and load its weights by load_state_dict"
    )


def find_layer(model: nn.Module, name: str) -> Recurrent:
    """One layer of a model by its path.

    Raises:
        OptionError: it is not there.
    """
    known = layers_of(model)
    if name not in known:
        raise OptionError(
            f"the model has no recurrent layer {name!r}: {did_you_mean(name, known)}it has "
            f"{', '.join(map(repr, known))}"
        )
    return known[name]


def as_layer(layer: object, what: str) -> Recurrent:
    """A layer, where a model may have been passed.

    Args:
        layer: what was passed.
        what: the name of what was called, for the message.

    Raises:
        OptionError: it is no layer of gated; the message names those inside it.

    Example:
        >>> import torch, gated
        >>> as_layer(torch.nn.Sequential(gated.LSTM(2, 3)), "jacobian_norms")
        Traceback (most recent call last):
        gated.errors.OptionError: jacobian_norms: got a Sequential, expected a layer of gated: \
pass one of its layers, as model.get_submodule('0')
    """
    if isinstance(layer, Recurrent):
        return layer
    inside = list(layers_of(layer)) if isinstance(layer, nn.Module) else []
    ways = [f"model.{path}" if _is_attribute(path) else f"model.get_submodule({path!r})"
            for path in inside]  # fmt: skip
    remedy = f"pass one of its layers, as {' or '.join(ways)}" if ways else "as gated.LSTM(2, 3)"
    raise OptionError(f"{what}: got a {type(layer).__name__}, expected a layer of gated: {remedy}")


def place_of(layer: Recurrent, what: str, index: int, direction: int) -> int:
    """Where one layer and direction of a stack stands among all of them, as in `all_weights`.

    Raises:
        OptionError: `layer` is no layer of gated (see `as_layer`), or has no such layer in it.

    Example:
        >>> import gated
        >>> place_of(gated.LSTM(2, 3, num_layers=2, bidirectional=True), "by_symbol", 1, 0)
        2
    """
    as_layer(layer, what)
    count, directions = layer.num_layers, layer.num_directions
    if not (0 <= index < count and 0 <= direction < directions):
        raise OptionError(
            f"{layer.cell.name}: layer {index}, direction {direction} is not there: it has "
            f"{count} layer(s) and {directions} direction(s), counted from 0"
        )
    return index * directions + direction


def _is_attribute(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


@contextmanager
def changed(layer: Recurrent, change: Change) -> Iterator[None]:
    """Within the block, the layer runs `change(job, arrangement)` in the place of each job."""
    ask = layer._job

    def job(*args: Any, **options: Any) -> tuple[Job, Arrangement, tuple[Tensor, ...]]:
        asked, arranged, initial = ask(*args, **options)
        return change(asked, arranged), arranged, initial

    # PyTorch's operators run none but their own cells
    engine = "auto" if layer.engine == "torch" else layer.engine
    with overridden(layer, _job=job, _quick=_Long(), engine=engine):
        yield


@contextmanager
def overridden(layer: Recurrent, **attributes: Any) -> Iterator[None]:
    """Attributes of a layer, in the instance alone, and as before at the end."""
    own = vars(layer)
    before = {name: own[name] for name in attributes if name in own}
    own.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            own.pop(name, None)
        own.update(before)


class _Long:
    """In the place of the short way for single steps, which asks for no job."""

    def step(self, *_: Any) -> None:
        """Take the long way."""


@contextmanager
def eager() -> Iterator[None]:
    """Compiled models run as they are written: their programs know nothing of a change."""
    if "torch._dynamo" not in sys.modules:  # loading it takes seconds, and nothing is compiled yet
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def with_cell(
    job: Job, change: Callable[[Cell], Cell], inputs: Callable[[int], Mapping[str, Tensor]]
) -> Job:
    """The job with another cell, whose further inputs each layer and direction has for itself.

    Args:
        job: the job.
        change: gives the cell, of the same parameters.
        inputs: gives the further inputs of a layer and direction, counted in the order of weights.
    """
    form = Form.of(change(job.form.cell), job.form.layout, job.form.sizes)
    places = range(job.num_layers * job.num_directions)
    own = [{**(job.own[place] if job.own else {}), **inputs(place)} for place in places]
    return job._replace(form=form, own=own)


def units(layer: Recurrent, place: int, size: Size) -> int:
    """The number that a size stands for in one layer and direction of a stack."""
    return length(size, layer._places[place])


def rows_first(arranged: Arrangement, value: Tensor) -> Tensor:
    """What an engine has over time as (B, T, n, *extent), B = 1 if unbatched, 0 in padding."""
    if arranged.ragged is not None:
        value = arranged.ragged.unpack(value)
    value = value.transpose(0, 1)
    return value.movedim(-1, 2) if arranged.extent else value
