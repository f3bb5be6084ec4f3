"""Initialisations by name, for any cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from gated.cells import nearest
from gated.equations import Cell
from gated.equations.layout import Slot
from gated.errors import OptionError
from gated.layers.inits import IRNN, Chrono, Init, Orthogonal, Uniform
from gated.layers.parameters import Parameters

if TYPE_CHECKING:
    from gated.layers.recurrent import Recurrent

__all__ = ["IRNN", "Chrono", "Init", "Orthogonal", "Uniform", "as_init", "initialize", "start"]

_NAMED: dict[str, Callable[[], Init]] = {"uniform": Uniform, "orthogonal": Orthogonal, "irnn": IRNN}


def as_init(value: object) -> Init:
    """The initialisation of a name; an instance is passed through.

    Raises:
        OptionError: there is none of that name, or it needs to be given as an instance.

    Example:
        >>> as_init("orthogonal")
        Orthogonal()
    """
    if isinstance(value, str):
        if value == "chrono":
            raise OptionError(
                "init='chrono' needs to know max_steps, the longest span to remember: pass an "
                "instance, as in init=gated.Chrono(max_steps=784)"
            )
        if value not in _NAMED:
            raise OptionError(f"init is {value!r}{nearest(value, [*_NAMED, 'chrono'])}")
        return _NAMED[value]()
    if isinstance(value, type) or not callable(getattr(value, "fill", None)):
        raise OptionError(
            f"init is {value!r}, expected one of {', '.join(_NAMED)}, or an instance, as "
            f"gated.Chrono(max_steps=784)"
        )
    return cast(Init, value)


@torch.no_grad()
def start(
    cell: Cell,
    layout: Sequence[Slot],
    stored: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    init: Init,
    forget_bias: float | None,
) -> None:
    """Fill the stored tensors of one layer and direction, in place.

    Args:
        cell: the cell.
        layout: how its parameters are stored.
        stored: the tensors, by the layout's names.
        sizes: the lengths of the cell's letters.
        init: what to fill them with.
        forget_bias: the bias of whatever gate keeps the memory, found in the equations: f of the
            LSTM, z of the GRU, and its negative where 1 - z keeps. None to leave it as drawn.

    Raises:
        OptionError: forget_bias or Chrono, and the cell keeps no state by a gate with a bias.
    """
    parameters = Parameters(cell, layout, stored, sizes)
    memories = parameters.memories() if _wanted(forget_bias, init) else ()
    init.fill(parameters)
    for slot in layout:
        if slot.start is not None:
            nn.init.constant_(stored[slot.name], slot.start)
    for memory in memories:
        for key, sign in memory.keep.items():
            parameters.set_bias(key, sign * forget_bias)  # type: ignore[operator]


def initialize(
    layer: Recurrent, init: str | Init = "uniform", forget_bias: float | None = None
) -> None:
    """Draw the parameters of a layer anew, in place.

    Args:
        layer: a `gated.Recurrent`, or one of the classes made of it.
        init: "uniform", "orthogonal", "irnn" or an instance, as `gated.Chrono(max_steps=784)`.
        forget_bias: as for `start`.

    Raises:
        OptionError: as `as_init` and `start`; the layer is as it was then.

    Example:
        >>> import gated
        >>> layer = gated.LSTM(3, 2)
        >>> gated.initialize(layer, "orthogonal", forget_bias=1.0)
        >>> layer.bias_ih_l0.tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(getattr(layer, "cell", None), Cell):
        raise OptionError(
            f"initialize: expected a layer of gated, as gated.LSTM, got {type(layer).__name__}"
        )
    before = layer.init, layer.forget_bias
    layer.init, layer.forget_bias = as_init(init), forget_bias
    try:
        layer.reset_parameters()
    except OptionError:
        layer.init, layer.forget_bias = before
        raise


def _wanted(forget_bias: object, init: Init) -> bool:
    """Whether a forget bias is asked for, checked."""
    if forget_bias is None:
        return False
    number = isinstance(forget_bias, (int, float)) and not isinstance(forget_bias, bool)
    if not number or not math.isfinite(forget_bias):  # type: ignore[arg-type]
        raise OptionError(f"forget_bias is {forget_bias!r}, expected a finite number")
    if isinstance(init, Chrono):
        raise OptionError(
            f"forget_bias={forget_bias} would undo the biases of init={init}: give one of them"
        )
    return True
